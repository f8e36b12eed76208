package cli

// Variables of the environment that taskiam reads.
const (
	// envEmulatorHost is the host:port of an emulator. When it is set, every call goes there.
	envEmulatorHost = "TASKIAM_EMULATOR_HOST"
	// envEmulatorToken names the file with the operator's token on the emulator.
	envEmulatorToken = "TASKIAM_EMULATOR_TOKEN_FILE"
	// envEmulatorCA names the file with the certificate of the emulator's CA.
	envEmulatorCA = "TASKIAM_EMULATOR_CA"
	// envMaxTTL is the longest life that a run may ask for.
	envMaxTTL = "TASKIAM_MAX_TTL"
	// envOperatorMember is the operator as policies name it, where the token does not say.
	envOperatorMember = "TASKIAM_OPERATOR_MEMBER"
	// envQuotaProject is Google's own name for who pays for the calls of a login.
	envQuotaProject = "GOOGLE_CLOUD_QUOTA_PROJECT"
	// envCredentials is Google's own name for the file with a login.
	envCredentials = "GOOGLE_APPLICATION_CREDENTIALS"
	// envRun is set for CMD, and tells it and us that it runs inside a run.
	envRun = "TASKIAM_RUN"
	// envDelivery is set beside it, to where the delivery is.
	envDelivery = "TASKIAM_DELIVERY"

	envStateHome  = "XDG_STATE_HOME"
	envCacheHome  = "XDG_CACHE_HOME"
	envRuntimeDir = "XDG_RUNTIME_DIR"
	envHome       = "HOME"
)

// environment is what help says of them.
var environment = [][2]string{
	{envEmulatorHost, "HOST:PORT of an emulator; all calls go there and not to Google"},
	{envEmulatorToken, "file with the operator's token for the emulator"},
	{envEmulatorCA, "file with the certificate of the emulator's CA"},
	{envMaxTTL, "longest ttl that a manifest may have (default 12h)"},
	{envOperatorMember, "your member name in IAM policies; needed for federated logins, whose tokens do not contain it"},
	{envStateHome, "journals and other state are in its folder taskiam (default ~/.local/state)"},
	{envCacheHome, "the permissions of predefined roles are cached in its folder taskiam/roles for a day (default ~/.cache)"},
	{envRuntimeDir, "deliveries are in its folder taskiam/RUN, if it exists"},
}

// Flags that more than one command has.
const (
	flagJSON           = "json"
	flagQuiet          = "quiet"
	flagFormat         = "format"
	flagOut            = "out"
	flagReadyTimeout   = "ready-timeout"
	flagMaxTTL         = "max-ttl"
	flagOperatorMember = "operator-member"
	flagProject        = "project"
	flagResource       = "resource"
	flagIsolate        = "isolate"
	flagUID            = "uid"
	flagSocket         = "socket"
	flagGcloud         = "gcloud"
	flagVerbose        = "verbose"
	flagCI             = "ci"
	flagDotenv         = "dotenv"
)

package app

// Variables of the environment that the wiring reads or sets.
const (
	// EnvEmulatorHost is the host:port of an emulator. When it is set, every call goes there.
	EnvEmulatorHost = "TASKIAM_EMULATOR_HOST"
	// EnvEmulatorToken names the file with the operator's token on the emulator.
	EnvEmulatorToken = "TASKIAM_EMULATOR_TOKEN_FILE"
	// EnvEmulatorCA names the file with the certificate of the emulator's CA.
	EnvEmulatorCA = "TASKIAM_EMULATOR_CA"
	// EnvOperatorMember is the operator as policies name it, where the token does not say.
	EnvOperatorMember = "TASKIAM_OPERATOR_MEMBER"
	// envQuotaProject is Google's own name for who pays for the calls of a login.
	envQuotaProject = "GOOGLE_CLOUD_QUOTA_PROJECT"
	// EnvCredentials is Google's own name for the file with a login.
	EnvCredentials = "GOOGLE_APPLICATION_CREDENTIALS"
	// EnvRun is set for the task's command: a taskiam that sees it is inside of a run.
	EnvRun = "TASKIAM_RUN"
	// EnvDelivery is set for it too, to the folder of the delivery.
	EnvDelivery = "TASKIAM_DELIVERY"

	// The folders of the XDG Base Directory Specification.
	EnvStateHome  = "XDG_STATE_HOME"
	EnvConfigHome = "XDG_CONFIG_HOME"
	EnvCacheHome  = "XDG_CACHE_HOME"
	EnvRuntimeDir = "XDG_RUNTIME_DIR"
	envHome       = "HOME"

	// EnvGitLogin is USER:PASSWORD, with which `manifest` fetches.
	EnvGitLogin = "TASKIAM_GIT_LOGIN"

	// What `up --ci` exports beside the variables of the run, for `down --ci`.
	envCIRun     = "TASKIAM_CI_RUN"
	EnvCIAccount = "TASKIAM_CI_ACCOUNT"
	EnvCIProject = "TASKIAM_CI_PROJECT"
)

package cli

import "github.com/taskiam/taskiam/internal/app"

// Variables of the environment that stand in for flags.
const (
	// envMaxTTL is the longest life that a run may ask for.
	envMaxTTL = "TASKIAM_MAX_TTL"
	// What a manifest declares too.
	envProject = "TASKIAM_PROJECT"
	envTTL     = "TASKIAM_TTL"
	envDeliver = "TASKIAM_DELIVER"
)

// environment is every variable that taskiam reads, as help explains it.
var environment = [][2]string{
	{app.EnvEmulatorHost, "HOST:PORT of an emulator; all calls go there and not to Google"},
	{app.EnvEmulatorToken, "file with the operator's token for the emulator"},
	{app.EnvEmulatorCA, "file with the certificate of the emulator's CA"},
	{envMaxTTL, "longest ttl that a manifest may have (default 12h)"},
	{app.EnvOperatorMember, "your member name in IAM policies; needed for federated logins, " +
		"whose tokens do not contain it"},
	{envProject, "project of the service account, in the place of the manifest's"},
	{envTTL, "how long a run lasts, in the place of the manifest's ttl"},
	{envDeliver, "how the credential is delivered, in the place of the manifest's deliver"},
	{app.EnvGitLogin, "USER:PASSWORD with which manifest fetches over https"},
	{app.EnvStateHome, "journals and other state are in its folder taskiam (default ~/.local/state)"},
	{app.EnvConfigHome, "your configuration is taskiam/config.toml in it: project, ttl and deliver for manifests " +
		"that do not say, and colour (default ~/.config)"},
	{app.EnvCacheHome, "the permissions of predefined roles are cached in its folder taskiam/roles " +
		"for a day (default ~/.cache)"},
	{app.EnvRuntimeDir, "deliveries are in its folder taskiam/RUN, if it exists"},
	{envColumns, "how wide output is, in the place of the terminal's width"},
	{envNoColour, "nothing is coloured if it is set"},
	{envForceColour, "output is coloured without a terminal too, unless it is 0"},
}

// Flags that more than one command has.
const (
	flagTTL            = "ttl"
	flagDeliver        = "deliver"
	flagDebug          = "debug"
	flagJSON           = "json"
	flagQuiet          = "quiet"
	flagExample        = "example"
	flagFormat         = "format"
	flagFor            = "for"
	flagOut            = "out"
	flagRenew          = "renew"
	flagReadyTimeout   = "ready-timeout"
	flagMaxTTL         = "max-ttl"
	flagOperatorMember = "operator-member"
	flagProject        = "project"
	flagResource       = "resource"
	flagIsolate        = "isolate"
	flagAllowUserns    = "allow-userns"
	flagAllowPtrace    = "allow-ptrace"
	flagTree           = "tree"
	flagUID            = "uid"
	flagShareUID       = "share-uid"
	flagEnv            = "env"
	flagInheritEnv     = "inherit-env"
	flagShowLogin      = "show-login"
	flagSocket         = "socket"
	flagGcloud         = "gcloud"
	flagVerbose        = "verbose"
	flagCI             = "ci"
	flagDotenv         = "dotenv"
	flagTrusted        = "trusted"
)

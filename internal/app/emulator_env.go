package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/shell"
)

// Who the environment of [EmulatorHome.Environment] is for.
const (
	ForTaskiam = "taskiam"
	ForGcloud  = "gcloud"
	ForSDK     = "sdk"
	ForProxy   = "proxy"
)

// Environment returns text for a shell to eval, so that a client finds the emulator on address.
func (h EmulatorHome) Environment(address, client string) (string, error) {
	switch client {
	case ForGcloud:
		operator, err := h.operator()
		if err != nil {
			return "", err
		}
		env := append(vars(emulator.GcloudEnv(address, h.CAFile())), h.gcloudLogin(operator)...)
		return credentials.Format(env, "shell")
	case ForSDK:
		// What turns a library's login off, such as STORAGE_EMULATOR_HOST, is unset.
		return credentials.Format(append(vars(emulator.ProxyEnv(address, h.CAFile())),
			delivery.Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: h.loginFile()}), "shell")
	case ForProxy:
		return exports(emulator.ProxyEnv(address, h.CAFile())), nil
	}
	operator, err := h.operator()
	if err != nil {
		return "", err
	}
	pairs := []string{
		EnvEmulatorHost + "=" + address,
		EnvEmulatorToken + "=" + h.TokenFile(),
		EnvEmulatorCA + "=" + h.CAFile(),
	}
	// As at Google, the token of a federated login does not say whose it is.
	if strings.HasPrefix(operator, "principal:") {
		return exports(append(pairs, EnvOperatorMember+"="+operator)), nil
	}
	return exports(pairs) + "unset " + EnvOperatorMember + "\n", nil
}

// gcloudLogin returns the variables with which gcloud, bq and gsutil act as the operator. They
// get a configuration of their own, in which nothing is asked, sent or logged: a log would
// contain tokens.
func (h EmulatorHome) gcloudLogin(operator string) []delivery.Var {
	return []delivery.Var{
		{Name: "CLOUDSDK_CONFIG", Value: filepath.Join(h.Dir, "gcloud")},
		{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Value: h.TokenFile()},
		{Name: "CLOUDSDK_CORE_ACCOUNT", Value: operator}, // without one, gsutil sends no login
		{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "false"},
		{Name: "CLOUDSDK_CORE_DISABLE_PROMPTS", Value: "1"},
		{Name: "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", Value: "true"},
		{Name: "CLOUDSDK_CORE_DISABLE_FILE_LOGGING", Value: "true"},
		{Name: "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", Value: "true"},
	}
}

// operator returns the address of the operator, or the member string of a federated one, as its login has it.
func (h EmulatorHome) operator() (string, error) {
	raw, err := os.ReadFile(h.loginFile())
	if err != nil {
		err = fmt.Errorf("reading the operator's login: %w", err)
		if errors.Is(err, fs.ErrNotExist) {
			err = fault.WithHint(err, "taskiam emulator &")
		}
		return "", err
	}
	var login struct {
		Account string `json:"account"`
	}
	if err := json.Unmarshal(raw, &login); err != nil {
		return "", fmt.Errorf("reading the operator's login %s: %w", h.loginFile(), err)
	}
	return login.Account, nil
}

// vars reads variables that are given as NAME=VALUE.
func vars(pairs []string) []delivery.Var {
	var out []delivery.Var
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		out = append(out, delivery.Var{Name: name, Value: value})
	}
	return out
}

// exports returns variables as text for a shell to eval. It unsets no other variable.
func exports(pairs []string) string {
	var b strings.Builder
	for _, v := range vars(pairs) {
		b.WriteString("export " + v.Name + "=" + shell.Quote(v.Value) + "\n")
	}
	return b.String()
}

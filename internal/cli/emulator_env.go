package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/shell"
)

// Who the environment of `emulator env` is for.
const (
	forTaskiam = "taskiam"
	forGcloud  = "gcloud"
	forSDK     = "sdk"
	forProxy   = "proxy"
)

type emulatorEnvOptions struct {
	client string
	wait   time.Duration
}

func newEmulatorEnvCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "env",
		Usage: "print the environment that makes a client use the emulator",
		UsageText: `eval "$(taskiam emulator env)"
eval "$(taskiam emulator env --for gcloud)"
gcloud iam service-accounts list --project acme-agents`,
		Description: `--for says which client, and who it acts as:

  taskiam  taskiam, as the operator
  gcloud   only gcloud, bq and gsutil, as the operator, with their own
           configuration, endpoints and proxy
  sdk      every program that uses Google's libraries or Terraform, as the
           operator: a proxy, its CA and application default credentials
  proxy    the same without a login: use your own

With sdk and proxy, no program in that shell can reach other hosts by HTTPS: use
another shell for that.`,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "for", Usage: "`CLIENT`: taskiam, gcloud, sdk or proxy", Value: forTaskiam,
				Action: oneOf("for", forTaskiam, forGcloud, forSDK, forProxy),
			},
			newWaitFlag(),
		},
		Action: action(parseEmulatorEnv, func(ctx context.Context, o emulatorEnvOptions) error { return runEmulatorEnv(ctx, e, o) }),
	}
}

func newWaitFlag() cli.Flag {
	return &cli.DurationFlag{Name: "wait", Usage: "`DURATION`: how long to wait for an emulator that is starting", Value: 3 * time.Second}
}

func parseEmulatorEnv(c *cli.Context) (emulatorEnvOptions, error) {
	return emulatorEnvOptions{client: c.String("for"), wait: c.Duration("wait")}, noArguments(c)
}

func runEmulatorEnv(ctx context.Context, e *Env, o emulatorEnvOptions) error {
	home, err := e.emulatorHome()
	if err != nil {
		return err
	}
	address, err := home.find(ctx, o.wait)
	if err != nil {
		return err
	}
	text, err := home.environment(address, o.client)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(e.Stdout, text); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	return nil
}

// environment returns what a shell has to eval so that a client finds the emulator
// on address.
func (h emulatorHome) environment(address, client string) (string, error) {
	switch client {
	case forGcloud:
		operator, err := h.operator()
		if err != nil {
			return "", err
		}
		return credentials.Format(append(vars(emulator.GcloudEnv(address, h.caFile())), h.gcloudLogin(operator)...), "shell")
	case forSDK:
		// What turns a library's login off, such as STORAGE_EMULATOR_HOST, is unset.
		return credentials.Format(append(vars(emulator.ProxyEnv(address, h.caFile())),
			delivery.Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: h.loginFile()}), "shell")
	case forProxy:
		return exports(emulator.ProxyEnv(address, h.caFile())), nil
	}
	return exports([]emulator.Var{
		{Name: envEmulatorHost, Value: address},
		{Name: envEmulatorToken, Value: h.tokenFile()},
		{Name: envEmulatorCA, Value: h.caFile()},
	}), nil
}

// gcloudLogin makes the operator whom gcloud, bq and gsutil act as. Their own
// configuration is left alone: they get another, in which nothing is asked, sent or
// logged (a log would have tokens in it, for everybody to read).
func (h emulatorHome) gcloudLogin(operator string) []delivery.Var {
	return []delivery.Var{
		{Name: "CLOUDSDK_CONFIG", Value: filepath.Join(h.dir, "gcloud")},
		{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Value: h.tokenFile()},
		{Name: "CLOUDSDK_CORE_ACCOUNT", Value: operator}, // without one, gsutil sends no login
		{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "false"},
		{Name: "CLOUDSDK_CORE_DISABLE_PROMPTS", Value: "1"},
		{Name: "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", Value: "true"},
		{Name: "CLOUDSDK_CORE_DISABLE_FILE_LOGGING", Value: "true"},
		{Name: "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", Value: "true"},
	}
}

// operator returns the address of the operator, as its login has it.
func (h emulatorHome) operator() (string, error) {
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

func vars(of []emulator.Var) []delivery.Var {
	var out []delivery.Var
	for _, v := range of {
		out = append(out, delivery.Var{Name: v.Name, Value: v.Value})
	}
	return out
}

// exports writes variables for a shell's eval, and leaves all others as they are.
func exports(of []emulator.Var) string {
	text := ""
	for _, v := range of {
		text += "export " + v.Name + "=" + shell.Quote(v.Value) + "\n"
	}
	return text
}

package app

import (
	"context"
	"fmt"
	"io"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/supervise"
)

// FlagSpawned marks a server that was started in the background: `taskiam serve --spawned RUN`.
const FlagSpawned = "spawned"

// StartServer starts the server of a run in the background.
func (a *App) StartServer(
	ctx context.Context, run grants.RunID, at supervise.Endpoint, record func(journal.ProcessStarted) error,
) error {
	logs, err := a.TokenLogs()
	if err != nil {
		return err
	}
	log, err := logs.Open(run)
	if err != nil {
		return err
	}
	defer log.Close()
	server := supervise.Background{
		Role: journal.RoleServer, Args: []string{"serve", "--" + FlagSpawned, string(run)},
		Environ: a.Environ(), Log: log, Endpoint: at,
	}
	if err := server.Start(ctx, record); err != nil {
		return fault.WithHint(
			fmt.Errorf("starting the server of run %s: %w", run, err), "cat "+shell.Quote(log.Name()))
	}
	return nil
}

// KeepServer starts the server of a run that was renewed, if none is running. A running one
// learns from the journal that the run was renewed.
func (a *App) KeepServer(
	ctx context.Context, run *journal.Run, record func(journal.ProcessStarted) error,
) error {
	if _, at := supervise.AtWork(run, journal.RoleServer); at {
		return nil
	}
	logs, err := a.TokenLogs()
	if err != nil {
		return err
	}
	if held, err := logs.Held(run.ID()); held || err != nil {
		return err
	}
	at := supervise.EndpointOf(run)
	if at.Listen != "" {
		if err := at.Reserve(ctx); err != nil {
			return err
		}
		defer at.Close()
	}
	return a.StartServer(ctx, run.ID(), at, record)
}

// TokenKeeper returns the token keeper of a run.
func (a *App) TokenKeeper(ctx context.Context, run *journal.Run, log io.Writer) (*supervise.TokenKeeper, error) {
	journals, err := a.Journals()
	if err != nil {
		return nil, err
	}
	client, err := a.Client(ctx, Options{Reason: run.Opened.Reason})
	if err != nil {
		return nil, err
	}
	if err := run.Opened.CheckCloud(client.Cloud()); err != nil {
		return nil, err
	}
	return supervise.NewTokenKeeper(run, client, journals, a.Now, log), nil
}

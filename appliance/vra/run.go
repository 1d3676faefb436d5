package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"openvra/appliance"
	"openvra/config"
)

func runCommand() command {
	return command{
		name:    "run",
		summary: "run the gateway in the foreground; SIGHUP reloads, SIGTERM stops it clean",
		examples: []string{
			"vra run -c /etc/vra/vra.yaml",
			"kill -HUP $(pidof vra)   # or: vra reload",
		},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			path := configFlag(fs)
			return func(ctx context.Context, s *streams, _ []string) error { return runGateway(ctx, s, *path) }
		},
	}
}

func runGateway(ctx context.Context, s *streams, path string) error {
	reload, stopReload := reloadSignals()
	defer stopReload()
	c, err := loadChecked(s, path)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	var level slog.LevelVar
	log := newLogger(s.err, c.Log, &level)
	systemd := notifier{log}
	go systemd.watchdog(ctx)
	context.AfterFunc(ctx, systemd.stopping)
	return appliance.Run(ctx, appliance.Options{
		Config:     c,
		ConfigPath: path,
		Log:        log,
		Level:      &level,
		Ready:      systemd.ready,
		Reloading:  systemd.reloading,
		Reloaded:   systemd.ready,
		Reload:     reload,
	})
}

// reloadSignals makes a message of each SIGHUP, until stop. While one waits, those
// that follow are the same one.
func reloadSignals() (reload <-chan struct{}, stop func()) {
	signals, messages := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			select {
			case messages <- struct{}{}:
			default:
			}
		}
	}()
	return messages, func() {
		signal.Stop(signals)
		close(signals)
	}
}

// newLogger returns a logger of the configured format, and of the level that level has
// at any time. It is the configured one at first.
func newLogger(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	_ = level.UnmarshalText([]byte(c.Level)) // config refuses other words
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

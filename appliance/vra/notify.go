package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A notifier tells systemd how the gateway is (sd_notify(3)). Where systemd did not
// start the process, it does nothing.
type notifier struct{ log *slog.Logger }

func (n notifier) ready()    { n.send(daemon.SdNotifyReady) }
func (n notifier) stopping() { n.send(daemon.SdNotifyStopping) }

// reloading has the time beside it, which Type=notify-reload asks for.
func (n notifier) reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// watchdog says that the process lives, twice in the time that systemd allows, until
// ctx ends.
func (n notifier) watchdog(ctx context.Context) {
	allowed, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("watchdog not understood", "err", err)
	}
	if err != nil || allowed == 0 {
		return
	}
	tick := time.NewTicker(allowed / 2)
	defer tick.Stop()
	for {
		n.send(daemon.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("systemd not told", "state", state, "err", err)
	}
}

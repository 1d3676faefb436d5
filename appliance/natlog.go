package appliance

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"openvra/appliance/admin"
	"openvra/dataplane/flow"
	"openvra/nat"
)

// natLog writes what rules with "log: true" ask for, one line for each mapping or
// session (RFC 6888, REQ-12). Workers only queue: no packet waits for the log.
type natLog struct {
	queue chan natEvent
	// lost counts events for which the queue had no room.
	lost atomic.Uint64
}

// natEvent is a mapping that began or ended, or a session of a destination rule.
type natEvent struct {
	text, rule       string
	proto            uint8
	from, to         netip.AddrPort
	fromName, toName string
}

func newNATLog() *natLog { return &natLog{queue: make(chan natEvent, 8192)} }

func (l *natLog) put(e natEvent) {
	select {
	case l.queue <- e:
	default:
		l.lost.Add(1)
	}
}

// mapping is the event of nat.Config. It never waits.
func (l *natLog) mapping(e nat.Event) {
	text := "mapping ended"
	if e.Began {
		text = "mapping began"
	}
	l.put(natEvent{text, e.Rule, e.Proto, endpoint(e.Inside, e.InPort), endpoint(e.Outside, e.OutPort), "inside", "outside"})
}

// session notes a new session of a destination rule: who came, and where it goes.
func (l *natLog) session(r *nat.Rule, k flow.Key, to nat.Flow) {
	l.put(natEvent{"session began", r.Name, k.Proto(), endpoint(k.Src(), k.SrcPort()), endpoint(to.Dst, to.DstPort), "from", "to"})
}

func endpoint(a uint32, port uint16) netip.AddrPort { return netip.AddrPortFrom(ip4(a), port) }

// run writes until ctx ends, and what is queued then.
func (l *natLog) run(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case e := <-l.queue:
			l.write(log, e)
		case <-ctx.Done():
			for {
				select {
				case e := <-l.queue:
					l.write(log, e)
				default:
					return
				}
			}
		}
	}
}

func (l *natLog) write(log *slog.Logger, e natEvent) {
	args := []any{"rule", e.rule, "proto", admin.Protocol(e.proto), e.fromName, e.from, e.toName, e.to}
	if n := l.lost.Swap(0); n > 0 {
		args = append(args, "suppressed", n)
	}
	log.Info(e.text, args...)
}

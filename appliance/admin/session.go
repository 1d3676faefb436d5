package admin

import (
	"fmt"
	"net/netip"
	"strconv"

	"openvra/config"
)

// MaxSessions is the most sessions that one answer lists.
const MaxSessions = 65536

// A Session is one flow and why it is treated as it is.
type Session struct {
	// ID names it as long as it lives.
	ID       uint64   `json:"id"`
	Worker   int      `json:"worker"`
	Protocol Protocol `json:"protocol"`
	State    string   `json:"state"`
	// Original is the flow as its first packet came in, Reply as the answer to
	// what went out comes in: they mirror one another unless it is translated.
	Original Direction `json:"original"`
	Reply    Direction `json:"reply"`
	// In and Out are the ports by which the original direction comes and goes.
	In      string `json:"in"`
	Out     string `json:"out"`
	InZone  string `json:"inZone,omitempty"`
	OutZone string `json:"outZone,omitempty"`

	AgeSeconds  int64 `json:"ageSeconds"`
	IdleSeconds int64 `json:"idleSeconds"`
	// ExpiresSeconds is when it ends if nothing more comes.
	ExpiresSeconds int64 `json:"expiresSeconds"`
	// Generation is the configuration that decided it.
	Generation uint64 `json:"generation"`
	// Why lists what decided, in the order in which it was asked.
	Why []Reason `json:"why"`
}

// Direction is one of the two ways of a session. The ports of ICMP queries are
// their identifier; those of protocols without ports are 0.
type Direction struct {
	Src     netip.Addr `json:"src"`
	Dst     netip.Addr `json:"dst"`
	SrcPort uint16     `json:"srcPort"`
	DstPort uint16     `json:"dstPort"`
	Packets uint64     `json:"packets"`
	Bytes   uint64     `json:"bytes"`
}

// Reason is one thing that decided about a session.
type Reason struct {
	// Kind is what it is: rule, source-nat, destination-nat, one-to-one, route,
	// tunnel, service, host.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Source is where it stands, as FILE:LINE.
	Source string `json:"source,omitempty"`
}

// Translated says whether an address or port changes on the way.
func (s *Session) Translated() bool {
	o, r := &s.Original, &s.Reply
	return o.Src != r.Dst || o.Dst != r.Src || o.SrcPort != r.DstPort || o.DstPort != r.SrcPort
}

// SessionList is some of the sessions.
type SessionList struct {
	// Total is how many match, of which at most the limit are listed.
	Total    int       `json:"total"`
	Sessions []Session `json:"sessions"`
}

// Protocol is an IP protocol number; in JSON it is a name where config has one.
type Protocol uint8

// String returns p's name, or its number in decimal.
func (p Protocol) String() string {
	if p == 0 {
		return "0" // not config's "any"
	}
	return config.Protocol(p).String()
}

// ParseProtocol reads a name or a number from 0 to 255.
func ParseProtocol(s string) (Protocol, error) {
	for p := range 256 {
		if Protocol(p).String() == s || strconv.Itoa(p) == s {
			return Protocol(p), nil
		}
	}
	return 0, fmt.Errorf("got %q; want a protocol's name, as tcp, or a number from 0 to 255", s)
}

// MarshalText implements encoding.TextMarshaler.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Protocol) UnmarshalText(b []byte) (err error) {
	*p, err = ParseProtocol(string(b))
	return err
}

package config

import (
	"reflect"
	"testing"
)

func TestReloadSaysWhatItCannotChange(t *testing.T) {
	old := mustParse(t, "ports: [{name: wan, mtu: 1500}]\n")
	edited := mustParse(t, `ports: [{name: wan, mtu: 1400, promiscuous: true}]
workers: 2
limits: {sessions: 2048, neighbourQueue: 5}
timeouts: {udp: 200s}
log: {level: debug, format: json}
`)
	want := []string{"workers", "limits.sessions", "log.format"}
	if got := edited.NeedsRestart(old); !reflect.DeepEqual(got, want) {
		t.Errorf("NeedsRestart: got %q; want %q", got, want)
	}
	if got := old.NeedsRestart(old); got != nil {
		t.Errorf("NeedsRestart of the same: got %q; want none", got)
	}
}

package admin_test

import (
	"net/url"
	"reflect"
	"testing"

	"openvra/appliance/admin"
	"openvra/appliance/admin/admintest"
)

// exportNetip lets cmp look into addresses.
func exportNetip(t reflect.Type) bool { return t.PkgPath() == "net/netip" || t.PkgPath() == "unique" }

func TestFilterChooses(t *testing.T) {
	all := admintest.Edge().SessionItems // 1: masqueraded HTTPS, 2: published DNS, 3: ping to us
	for _, row := range []struct {
		query string
		want  []uint64
	}{
		{"", []uint64{1, 2, 3}},
		{"src=172.30.1.10", []uint64{1}},   // as it came
		{"src=203.0.113.2", []uint64{1}},   // as it leaves
		{"src=172.30.0.0/16", []uint64{1}}, // 2 only answers from there
		{"src=198.51.100.9/32", []uint64{2, 3}},
		{"src=2001:db8::/32", nil},
		{"dst=203.0.113.0/24", []uint64{2, 3}}, // as it came
		{"dst=172.30.2.10", []uint64{2}},       // as it leaves
		{"dst=0.0.0.0/0", []uint64{1, 2, 3}},
		{"port=443", []uint64{1}},
		{"port=1024", []uint64{1}}, // of the translation
		{"port=5353", []uint64{2}},
		{"sport=1024", []uint64{1}},
		{"sport=443", nil},
		{"dport=443", []uint64{1}},
		{"dport=53", []uint64{2}},
		{"protocol=tcp", []uint64{1}},
		{"protocol=UDP", []uint64{2}},
		{"protocol=1", []uint64{3}},
		{"protocol=0", nil},
		{"state=established", []uint64{1}},
		{"in=outside", []uint64{2, 3}},
		{"out=outside", []uint64{1}},
		{"zone=cluster", []uint64{1, 2}}, // either side
		{"nat=true", []uint64{1, 2}},
		{"nat=false", []uint64{1, 2, 3}},
		{"nat=true&protocol=udp", []uint64{2}}, // both must hold
		{"nat=true&protocol=icmp", nil},
		{"src=198.51.100.9&dport=54", nil},
		{"limit=1", []uint64{1, 2, 3}},      // not the filter's
		{"src=172.30.1.99/24", []uint64{1}}, // host bits do not matter here
		{"src=::ffff:172.30.1.10", nil},
		{"in=outside&zone=cluster", []uint64{2}},
	} {
		q, err := url.ParseQuery(row.query)
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := admin.ParseFilter(q)
		if err != nil {
			t.Errorf("%s: %v", row.query, err)
			continue
		}
		var got []uint64
		for i := range all {
			if f.Match(&all[i]) {
				got = append(got, all[i].ID)
			}
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %v; want %v", row.query, got, row.want)
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"src=":             `src: got ""; want an address or prefix, as 192.0.2.0/24`,
		"dst=fe80::1%25e0": `dst: got "fe80::1%e0"; want an address or prefix, as 192.0.2.0/24`,
		"port=0":           `port: got "0"; want a port from 1 to 65535`,
		"sport=65536":      `sport: got "65536"; want a port from 1 to 65535`,
		"dport=-1":         `dport: got "-1"; want a port from 1 to 65535`,
		"protocol=tpc":     `protocol: got "tpc"; want a protocol's name, as tcp, or a number from 0 to 255`,
		"protocol=256":     `protocol: got "256"; want a protocol's name, as tcp, or a number from 0 to 255`,
		"state=":           `state: got nothing; want a name`,
		"nat=perhaps":      `nat: got "perhaps"; want true or false`,
		"limit=many":       `limit: got "many"; want 1 to 65536`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := admin.ParseFilter(q); err == nil || err.Error() != want {
			t.Errorf("%s: got %v; want %s", query, err, want)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	all := admintest.Edge().SessionItems
	f, _, err := admin.ParseFilter(url.Values{"src": {"10.0.0.0/8"}, "protocol": {"tcp"}, "nat": {"true"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { f.Match(&all[0]) }); n != 0 {
		t.Errorf("got %v allocations; want none", n)
	}
}

func TestProtocolsHaveOneSpelling(t *testing.T) {
	for n := range 256 {
		p := admin.Protocol(n)
		if got, err := admin.ParseProtocol(p.String()); err != nil || got != p {
			t.Errorf("%d is %s, which reads as %d, %v", n, p, got, err)
		}
	}
}

// FuzzParseFilter: no query panics, and a limit that is accepted is in bounds.
func FuzzParseFilter(f *testing.F) {
	f.Add("src=10.0.0.0/8&port=443&protocol=tcp&nat=true&limit=5")
	f.Add("dst=::1&sport=1&dport=65535&state=x&in=a&out=b&zone=c")
	s := admintest.Edge().SessionItems[0]
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		filter, limit, err := admin.ParseFilter(q)
		if err == nil && (limit < 1 || limit > admin.MaxSessions) {
			t.Errorf("%s: got limit %d", query, limit)
		}
		filter.Match(&s)
	})
}

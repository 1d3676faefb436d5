package neigh

import "fmt"

// Times, in nanoseconds.
const (
	retryTime  = 1e9   // RFC 1122 section 2.3.2.1: one request a second at most
	failedTime = 3e9   // RFC 4861 says nothing; as long as asking took
	staleTime  = 600e9 // unused for so long: forgotten
	lockTime   = 1e9   // the first answer wins over one that comes at once
	maxTries   = 3     // RFC 4861 section 10: MAX_UNICAST_SOLICIT
	// tickWork bounds how many entries of a state one Tick looks at, and how many
	// requests Resolve asks for until the next.
	tickWork = 256
)

// A Request is an ARP request to send.
type Request struct {
	Port   uint16
	Target uint32
	// To is the MAC to send to: Broadcast, or the one to confirm.
	To MAC
}

// Resolve returns the entry of the neighbor ip on the port, made if there is none,
// and its state. ask says that a broadcast request for it is due now. The Ref is
// zero if there is no room. For ip the port must have a subnet; the caller routes.
func (t *Table) Resolve(port uint16, ip uint32, now int64) (ref Ref, s State, ask bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{ip, port}
	if i, ok := t.index[k]; ok {
		e := &t.entries[i]
		if e.state != Failed || now-e.since < failedTime {
			e.used.Store(1)
			return t.ref(i), e.state, false
		}
		t.freeLocked(i) // who waited for it has been told
	}
	i := t.createLocked(k, Incomplete)
	if i < 0 {
		return 0, Free, false
	}
	t.push(i, Incomplete)
	e := &t.entries[i]
	e.since, e.asked = now, now-retryTime
	if t.asks > 0 { // else by the next Tick
		t.asks--
		e.asked, e.tries, ask = now, 1, true
	}
	return t.ref(i), Incomplete, ask
}

// Tick moves the states on and appends the requests that are due to reqs. Its work
// is bounded; what is left over is done by the next.
func (t *Table) Tick(now int64, reqs []Request) []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asks = tickWork
	for range tickWork { // Reachable: by time of confirmation
		i := t.lists[Reachable].head
		if i < 0 || now-t.entries[i].confirmed < t.reachable {
			break
		}
		t.entries[i].used.Store(0)
		t.move(i, Stale, now)
	}
	reqs = t.tickStaleLocked(now, reqs)
	for range tickWork { // Probe: by time of asking
		i := t.lists[Probe].head
		if i < 0 || now-t.entries[i].asked < retryTime {
			break
		}
		reqs = t.askLocked(i, Probe, now, reqs)
	}
	for range tickWork { // Incomplete: by time of asking
		i := t.lists[Incomplete].head
		if i < 0 || now-t.entries[i].asked < retryTime {
			break
		}
		reqs = t.askLocked(i, Incomplete, now, reqs)
	}
	for range tickWork { // Failed: by time of failing
		i := t.lists[Failed].head
		if i < 0 || now-t.entries[i].since < failedTime {
			break
		}
		t.freeLocked(i)
	}
	return reqs
}

// tickStaleLocked starts to probe stale neighbors that are used and forgets those
// that have not been for long. Workers mark use without the list knowing, so that
// it is gone through in turn.
func (t *Table) tickStaleLocked(now int64, reqs []Request) []Request {
	for range min(tickWork, t.lists[Stale].n) {
		i := t.lists[Stale].head
		e := &t.entries[i]
		switch {
		case e.used.Load() != 0:
			e.tries = 0
			reqs = t.askLocked(i, Probe, now, reqs)
		case now-e.since >= staleTime:
			t.freeLocked(i)
		default:
			t.unlink(i)
			t.push(i, Stale)
		}
	}
	return reqs
}

// askLocked asks once more for entry i in state s, or, where that was to no avail,
// goes on to the next state: from Probe to everybody, from there to failure.
func (t *Table) askLocked(i int32, s State, now int64, reqs []Request) []Request {
	e := &t.entries[i]
	if e.tries >= maxTries {
		if s == Incomplete {
			e.setMAC(unreachable)
			t.move(i, Failed, now)
			return reqs
		}
		e.setMAC(0)
		e.tries, s = 0, Incomplete
	}
	to := Broadcast
	if s == Probe {
		to = e.mac()
	}
	e.tries++
	e.asked = now
	t.move(i, s, now)
	return append(reqs, Request{Port: e.port, Target: e.ip, To: to})
}

// learnLocked takes in that entry i has the MAC. reply says that it is a reply to
// us; that confirms the neighbor only if we have asked. It reports whether the MAC is now known that was not before,
// and whether it contradicts a static entry.
func (t *Table) learnLocked(i int32, m MAC, reply bool, now int64) (resolved, contradicts bool) {
	e := &t.entries[i]
	known := e.mac()
	solicited := reply && (e.state == Incomplete || e.state == Probe)
	switch {
	case e.state == Static:
		return false, m != known
	case known != m && e.state == Reachable && now-e.confirmed < lockTime:
		return false, false
	case !solicited && known == m:
		return false, false
	}
	e.setMAC(m)
	if solicited {
		e.confirmed = now
		t.move(i, Reachable, now)
	} else {
		e.used.Store(0)
		t.move(i, Stale, now)
	}
	return known == 0 || known == unreachable, false
}

// A StaticEntry is a neighbor of the configuration.
type StaticEntry struct {
	Port uint16
	IP   uint32
	MAC  MAC
}

// CheckStatic returns the error of SetStatic, and changes nothing.
func (t *Table) CheckStatic(es []StaticEntry) error {
	if len(es) > len(t.entries) {
		return fmt.Errorf("neighbor table: %d static neighbors do not fit the capacity of %d", len(es), len(t.entries))
	}
	for _, s := range es {
		if !s.MAC.IsHost() {
			return fmt.Errorf("neighbor table: got MAC %v; want that of a host", s.MAC)
		}
	}
	return nil
}

// SetStatic makes es the static entries, in place of those there were. They are
// never overwritten by what others say. It returns an error, and changes nothing,
// if a MAC is no host's or they do not fit the table together.
func (t *Table) SetStatic(es []StaticEntry, now int64) error {
	if err := t.CheckStatic(es); err != nil {
		return err
	}
	want := make(map[key]MAC, len(es))
	for _, s := range es {
		want[key{s.IP, s.Port}] = s.MAC
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := t.lists[Static].head; i >= 0; {
		e := &t.entries[i]
		next := e.next
		if _, ok := want[key{e.ip, e.port}]; !ok {
			t.freeLocked(i)
		}
		i = next
	}
	for _, s := range es {
		t.setStaticLocked(key{s.IP, s.Port}, s.MAC, now)
	}
	return nil
}

// setStaticLocked makes one static entry. There is room: others make it if they
// must.
func (t *Table) setStaticLocked(k key, m MAC, now int64) {
	i, ok := t.index[k]
	if ok && t.entries[i].state != Static {
		if t.ports[k.port]--; t.ports[k.port] == 0 {
			delete(t.ports, k.port)
		}
	}
	if !ok {
		if i = t.createLocked(k, Static); i < 0 {
			for _, s := range [...]State{Stale, Probe, Reachable} {
				if head := t.lists[s].head; head >= 0 {
					t.freeLocked(head)
					break
				}
			}
			i = t.createLocked(k, Static)
		}
		t.push(i, Static)
	}
	t.entries[i].setMAC(m)
	t.move(i, Static, now)
}

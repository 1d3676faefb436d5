package appliance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/link"
	"openvra/dataplane/link/pcap"
	"openvra/dataplane/packet"
)

// ReplayInput is what comes in at a port.
type ReplayInput struct{ Port, Path string }

// ReplayOptions describe a replay.
type ReplayOptions struct {
	Config *config.Config
	In     []ReplayInput
	// OutDir gets PORT.pcapng for each port, and host.pcapng.
	OutDir string
	// Seed is what all random choices follow from.
	Seed uint64
}

// ReplayPort counts what became of the packets that came in at a port, and what left by
// it. Local are those that the gateway took itself, Held those that had to wait for a
// neighbor or a fragment.
type ReplayPort struct {
	Port  string            `json:"port"`
	In    uint64            `json:"in"`
	Out   uint64            `json:"out"`
	Local uint64            `json:"local"`
	Held  uint64            `json:"held"`
	Drops map[string]uint64 `json:"drops"`
}

// ReplayResult is what a replay came to. Held still waited at the end. In all,
// In + Made = Out + Local + Held + Dropped.
type ReplayResult struct {
	Ports   []ReplayPort      `json:"ports"`
	In      uint64            `json:"in"`
	Made    uint64            `json:"made"`
	Out     uint64            `json:"out"`
	Local   uint64            `json:"local"`
	Held    uint64            `json:"held"`
	Dropped uint64            `json:"dropped"`
	Drops   map[string]uint64 `json:"drops"`
}

// input is a capture that is being read.
type input struct {
	port   uint16
	l3     bool
	mac    [6]byte
	reader *pcap.Reader
	next   *pcap.Record
}

// advance reads the next record; nil at the end.
func (in *input) advance() (err error) {
	if in.next, err = in.reader.Next(); errors.Is(err, io.EOF) {
		in.next, err = nil, nil
	}
	return err
}

// replay is one replay under way.
type replay struct {
	off   *Offline
	ports map[string]*pcap.Port
	in    []*input
	count []ReplayPort
	index map[uint16]int // of count, by logical port
	buf   []byte
	now   int64
}

// Replay sends captures through the path, merged by time, with the clock of the
// captures. The same input gives the same bytes.
func Replay(o ReplayOptions) (_ *ReplayResult, err error) {
	r := &replay{ports: map[string]*pcap.Port{}, index: map[uint16]int{}, buf: make([]byte, packet.Headroom+packet.MaxFrame+pcap.MaxCapture)}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(o); err != nil {
		return nil, err
	}
	for {
		in := r.first()
		if in == nil {
			break
		}
		if err := r.step(in); err != nil {
			return nil, err
		}
	}
	return r.result(), nil
}

// open makes the ports and opens the captures.
func (r *replay) open(o ReplayOptions) error {
	if err := os.MkdirAll(o.OutDir, 0o755); err != nil {
		return err
	}
	info := assumed(o.Config)
	links := map[string]link.Port{}
	names := []string{hostPort}
	for i := range o.Config.Ports {
		names = append(names, o.Config.Ports[i].Name)
	}
	for _, name := range names {
		w, err := pcap.Create(filepath.Join(o.OutDir, name+".pcapng"))
		if err != nil {
			return err
		}
		i := info(name)
		p, err := pcap.NewPort(pcap.Options{Name: name, Out: w, MAC: i.MAC, MTU: 65535, L3: i.L3})
		if err != nil {
			return errors.Join(err, w.Close())
		}
		r.ports[name] = p
		links[name] = p
	}
	var err error
	if r.off, err = NewOffline(o.Config, OfflineOptions{Ports: links, Seed: o.Seed, AnyMAC: true}); err != nil {
		return err
	}
	for _, i := range o.In {
		if err := r.addInput(i, info(i.Port)); err != nil {
			return err
		}
	}
	for _, name := range r.off.state.ports.list {
		n := r.off.state.ports.number[name]
		r.index[n] = len(r.count)
		r.count = append(r.count, ReplayPort{Port: name, Drops: map[string]uint64{}})
	}
	return nil
}

func (r *replay) addInput(i ReplayInput, info link.Info) error {
	port, ok := r.off.PortNumber(i.Port)
	if p := r.ports[i.Port]; !ok || p == nil {
		return fmt.Errorf("replay %s: port %q: not a port of the configuration with a device", i.Path, i.Port)
	}
	reader, err := pcap.Open(i.Path)
	if err != nil {
		return err
	}
	in := &input{port: port, l3: info.L3, mac: info.MAC, reader: reader}
	r.in = append(r.in, in)
	return in.advance()
}

// first returns the input whose next frame is the oldest; of equal times that which was
// named first.
func (r *replay) first() (first *input) {
	for _, in := range r.in {
		if in.next != nil && (first == nil || in.next.Time < first.next.Time) {
			first = in
		}
	}
	return first
}

// step takes one frame through the path.
func (r *replay) step(in *input) error {
	rec := in.next
	r.wait(rec.Time)
	frame, ok := rec.AppendFrame(r.buf[packet.Headroom:packet.Headroom], in.l3, in.mac)
	before := r.drops()
	if ok {
		p := packet.Packet{Buf: r.buf[:cap(r.buf)], Start: packet.Headroom, End: packet.Headroom + uint32(len(frame))}
		r.off.workers[0].Inject(r.now, in.port, p)
		r.attribute(in.port, before)
	} else {
		// Not a frame that the port could have received: an empty one is dropped in
		// its place.
		r.off.workers[0].Inject(r.now, in.port, packet.Packet{Buf: r.buf, Start: packet.Headroom, End: packet.Headroom})
		r.attribute(in.port, before)
	}
	return in.advance()
}

// wait lets time pass up to now: what is due in between is done at its second. A long
// silence is skipped, but for its first minute.
func (r *replay) wait(now int64) {
	const second = int64(1e9)
	if r.now == 0 {
		r.now = now
	}
	for i := 0; i < 60 && now-r.now > second; i++ {
		r.now += second
		r.tick()
	}
	if now-r.now > second {
		// What ends by then is not there any more when the frame comes.
		for left := r.off.workers[0].Sessions().Used(); left >= 0; left -= dataplane.ExpireBudget {
			r.now = now
			r.tick()
		}
	}
	r.now = max(r.now, now) // a capture may go back; the clock does not
	for _, p := range r.ports {
		p.SetTime(r.now)
	}
}

func (r *replay) tick() {
	for _, p := range r.ports {
		p.SetTime(r.now)
	}
	before := r.drops()
	r.off.workers[0].Inject(r.now, 0)
	r.attribute(NoInput, before)
}

// NoInput stands for the port of drops that no frame caused: timers.
const NoInput = 0xffff

func (r *replay) drops() (d [drop.Count]uint64) {
	for i := range d {
		d[i] = r.off.workers[0].Counters.Drops[i].Load()
	}
	return d
}

// attribute adds the drops since before to the port whose frame caused them.
func (r *replay) attribute(port uint16, before [drop.Count]uint64) {
	i, ok := r.index[port]
	for reason, n := range r.drops() {
		if n -= before[reason]; n != 0 && ok {
			r.count[i].Drops[drop.Reason(reason).String()] += n
		}
	}
}

// result reads the counters.
func (r *replay) result() *ReplayResult {
	w := r.off.workers[0]
	res := &ReplayResult{Drops: map[string]uint64{}}
	for n, i := range r.index {
		c := w.PortCount(int(n))
		r.count[i].In += c.Rx.Load()
		r.count[i].Out, r.count[i].Local, r.count[i].Held = c.Tx.Load(), c.Local.Load(), c.Held.Load()
	}
	res.Ports = r.count
	t := packets(&w.Counters)
	res.In, res.Made, res.Out, res.Local, res.Held, res.Dropped = t.In-t.Made, t.Made, t.Out, t.Local, t.Held, t.Dropped
	for reason, n := range r.drops() {
		if n != 0 {
			res.Drops[drop.Reason(reason).String()] = n
		}
	}
	return res
}

func (r *replay) close() error {
	var errs []error
	for _, in := range r.in {
		errs = append(errs, in.reader.Close())
	}
	for _, p := range r.ports {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

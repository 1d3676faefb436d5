package dataplane

import (
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/frag"
	"openvra/dataplane/gso"
	"openvra/dataplane/icmp"
	"openvra/dataplane/link"
	"openvra/dataplane/neigh"
	"openvra/dataplane/packet"
	"openvra/dataplane/rate"
	"openvra/dataplane/session"
	"openvra/dataplane/tunnel"
)

// A Step is one loop over the batch. It begins at packet from: after a panic the
// worker goes on with the packet behind the one that caused it.
type Step struct {
	Name string
	Run  func(w *Worker, from int)
	// Why says what the step does and why it stands where it stands.
	Why string
}

// WorkerOptions are what a worker needs from its start.
type WorkerOptions struct {
	// ID is 0 to Of-1.
	ID, Of int
	// Sessions is the worker's share of the limit.
	Sessions int
	// Line are the steps, in order, and Handed the index of the first one for
	// packets that another worker has handed over.
	Line   []Step
	Handed int
	Secret [3]uint64
	Log    *slog.Logger
	// Peers are all workers' rings; see NewRings. Nil for a single worker.
	Rings *Rings
}

// Worker runs the line. All of its methods are for its own thread, but for those
// that say otherwise.
type Worker struct {
	Counters Counters
	ports    atomic.Pointer[[]*PortCounters]

	opt    WorkerOptions
	hasher flow.Hasher
	log    *slog.Logger

	current atomic.Pointer[Plan]
	plan    *Plan // the plan of this batch
	ways    []Way

	queues   []link.Queue // by physical index; nil where there is none
	sessions *session.Table[flow.Key]
	frags    *frag.Tracker
	pieces   []packet.Packet // of a packet that is cut
	limiter  *icmp.Limiter
	limits   Limits

	query    Query // asked by miss; kept here so that it is not allocated
	decision Decision

	now     int64
	ticks   uint32
	batch   packet.Batch
	m       [packet.BatchSize]meta
	cur     int
	touched uint64
	nextHop nextHop
	// lastSender is the last peer of a tunnel that sent a packet, of the present plan.
	lastSender   sender
	senderTunnel int
	senderPeer   *tunnel.Peer

	ipID  uint16
	count count

	tx       [][]*packet.Packet // by physical index
	spares   spares
	cutter   gso.Cutter
	segments []bool // by physical index: whether the device takes super-packets
	backlog  [][]plant

	peers   [][]PeerCount
	foreign map[flow.Key]uint8

	hold       *neigh.Hold
	requests   []neigh.Request
	announcing []Announcement
	announceAt int64
	ticked     int64
	logs       logLimit
	arpLimit   rate.Limit
	arpMeters  []rate.Meter // by logical port

	control  atomic.Pointer[func()]
	wakeFD   int
	sleeping atomic.Bool
	ended    chan struct{} // closed when Run has returned
	endOnce  sync.Once
}

// NewWorker returns a worker without ports.
func NewWorker(o WorkerOptions) *Worker {
	w := &Worker{opt: o, ipID: uint16(o.ID), hasher: flow.NewHasher(o.Secret), log: o.Log, wakeFD: -1, ended: make(chan struct{})}
	w.sessions = session.New(o.Sessions, w.hasher.Hash)
	w.foreign = map[flow.Key]uint8{}
	w.backlog = make([][]plant, o.Of)
	if o.Rings != nil {
		o.Rings.workers[o.ID] = w
	}
	w.hold = neigh.NewHold(neigh.DefaultHoldLimits())
	w.ports.Store(&[]*PortCounters{})
	return w
}

// SetPlan makes p the plan from the next batch on. Safe for concurrent use.
func (w *Worker) SetPlan(p *Plan) { w.current.Store(p) }

// Plan returns what SetPlan last set. Safe for concurrent use.
func (w *Worker) Plan() *Plan { return w.current.Load() }

// Each calls f with each packet of the batch from number from on, for steps that are not
// the worker's own. The packet is borrowed until f returns.
func (w *Worker) Each(from int, f func(*packet.Packet)) {
	for i := from; i < w.batch.N; i++ {
		w.cur = i
		f(&w.batch.P[i])
	}
}

// SetQueues gives the worker its queue of each physical port. Called on the worker's
// thread (see Do) or before it runs.
// segments says of each whether its device takes super-packets.
func (w *Worker) SetQueues(q []link.Queue, segments []bool) {
	w.queues, w.segments = q, segments
	w.tx = make([][]*packet.Packet, len(q))
	for i := range w.tx {
		w.tx[i] = make([]*packet.Packet, 0, packet.BatchSize)
	}
}

// Sessions returns the worker's table, for use inside Do.
func (w *Worker) Sessions() *session.Table[flow.Key] { return w.sessions }

// begin takes up the plan and the time for a batch.
func (w *Worker) begin(now int64) {
	w.now, w.ticks = now, session.Ticks(now)
	if p := w.current.Load(); p != w.plan {
		w.countPeers(w.plan, p)
		w.plan = p
		w.growPorts(len(p.Ports))
		w.sessions.SetTimeouts(p.Timeouts)
		w.setLimits(p.Limits)
	}
	w.ways = w.plan.Ways.All()
	w.nextHop, w.lastSender = nextHop{}, sender{}
}

// Poll runs one batch of each queue and of the rings, and what is due by the clock.
// It reports whether there was anything to do. Now is in nanoseconds, and never less
// than before.
func (w *Worker) Poll(now int64) (bool, error) {
	if f := w.control.Swap(nil); f != nil {
		(*f)()
	}
	w.begin(now)
	busy, ended := false, 0
	for phys, q := range w.queues {
		if q == nil {
			ended++
			continue
		}
		switch err := q.Rx(&w.batch); {
		case errors.Is(err, io.EOF):
			ended++
			w.batch.N = 0
		case err != nil:
			w.batch.N = 0
		}
		if w.batch.N > 0 {
			busy = true
			w.receive(uint16(phys))
			w.run(0)
		}
	}
	if w.opt.Rings != nil && w.drainRings() {
		busy = true
	}
	w.tick()
	w.flush()
	if ended == len(w.queues) && ended > 0 && !busy {
		return false, io.EOF
	}
	return busy, nil
}

// Inject runs the line over packets that came in by physical port phys, as replay
// and tests do. The packets are copied into the worker's batch; n is at most
// packet.BatchSize.
func (w *Worker) Inject(now int64, phys uint16, ps ...packet.Packet) {
	w.begin(now)
	w.batch.N = copy(w.batch.P[:], ps)
	w.receive(phys)
	w.run(0)
	w.tick()
	w.flush()
}

// receive counts a batch in and marks its packets with the port.
func (w *Worker) receive(phys uint16) {
	w.takePlants()
	n := &w.count.port[phys]
	for i := range w.batch.N {
		p := &w.batch.P[i]
		p.Port = phys
		n.rx++
		n.rxBytes += uint64(p.End - p.Start)
	}
	w.count.received += uint64(w.batch.N)
}

// run takes the batch through the line from step first on.
func (w *Worker) run(first int) {
	for step, from := first, 0; step < len(w.opt.Line); {
		if w.guarded(step, from) {
			step, from = step+1, 0
		} else {
			from = w.cur + 1
		}
	}
	w.transmit()
}

// guarded runs one step. A panic costs the packet at which it happened: it is
// counted and logged, and forwarding goes on.
func (w *Worker) guarded(step, from int) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			w.survived(r, w.opt.Line[step].Name)
			w.giveUp(step)
		}
	}()
	w.opt.Line[step].Run(w, from)
	return true
}

// survived counts and logs a panic that was recovered from.
func (w *Worker) survived(r any, where string) {
	w.Counters.Panics.Add(1)
	if w.logs.Allow(w.now) {
		w.log.Error("a worker survived a panic", "worker", w.opt.ID, "step", where, "reason", r, "stack", string(debug.Stack()), w.logs.Suppressed())
	}
}

// giveUp drops the packet at which a step panicked, and what was made of it, unless it
// had gone its way: it is what the counters miss beside the packets still to come.
func (w *Worker) giveUp(step int) {
	if w.cur >= w.batch.N {
		return
	}
	w.m[w.cur].class = classDone
	w.flush()
	lost := w.Counters.Balance()
	for _, l := range w.tx {
		lost -= int64(len(l))
	}
	for i := range w.batch.N {
		if w.m[i].class != classDone || step == 0 && i > w.cur {
			lost--
		}
	}
	if lost > 0 {
		w.Counters.Drops[drop.WorkerPanic].Add(uint64(lost))
		if c := w.PortCount(int(w.batch.P[w.cur].Port)); c != nil {
			c.Dropped.Add(uint64(lost))
		}
	}
}

// drop ends a packet with a reason.
func (w *Worker) drop(p *packet.Packet, r drop.Reason) {
	w.Counters.Drops[r].Add(1)
	w.portCounters(int(p.Port)).Dropped.Add(1)
}

// local ends a packet that the gateway itself has consumed.
func (w *Worker) local(p *packet.Packet) {
	w.count.local++
	w.portCounters(int(p.Port)).Local.Add(1)
}

// keep ends a packet of which a copy waits somewhere.
func (w *Worker) keep(p *packet.Packet) {
	w.count.held++
	w.portCounters(int(p.Port)).Held.Add(1)
}

// nextID returns an identification for a packet of the gateway's own.
func (w *Worker) nextID() uint16 {
	w.ipID += uint16(w.opt.Of) // the others' lie between (RFC 6864)
	return w.ipID
}

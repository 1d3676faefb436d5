package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of both listeners.
const (
	maxConnections = 16
	maxHeader      = 16 << 10 // bytes of one request's header
	maxBody        = 4 << 10  // bytes of one request's body; no call reads it
	readTimeout    = 5 * time.Second
	writeTimeout   = time.Minute // for the whole answer, a reload's included
	idleTimeout    = time.Minute
	closeTimeout   = 2 * time.Second // for answers under way when Run ends
)

// Options say where a Server listens.
type Options struct {
	// Socket is the unix socket's path, at most 103 bytes.
	Socket string
	// Group may open the socket too; its name or number. Empty: the owner alone.
	Group string
	// Metrics is the TCP address of the metrics listener, as 127.0.0.1:9478.
	// Empty: none.
	Metrics string
	// Log gets what the HTTP server has to say. Not nil.
	Log *slog.Logger
}

// A Server answers for one gateway.
type Server struct {
	admin, metrics         *http.Server
	socket, metricsAddress net.Listener // the latter is nil where there is none
}

// Listen opens the socket and the metrics listener, and answers once Run runs. The
// caller must call Run, or Close.
func Listen(g Gateway, o Options) (*Server, error) {
	s := &Server{
		admin:   newHTTPServer(handler(g), o.Log),
		metrics: newHTTPServer(metricsHandler(g), o.Log),
	}
	sock, err := listen(o.Socket, o.Group)
	if err != nil {
		return nil, err
	}
	s.socket = netutil.LimitListener(sock, maxConnections)
	if o.Metrics == "" {
		return s, nil
	}
	l, err := net.Listen("tcp", o.Metrics)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for metrics: %w", err), sock.Close())
	}
	s.metricsAddress = netutil.LimitListener(l, maxConnections)
	return s, nil
}

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// MetricsAddr is where the metrics listener is, nil where there is none.
func (s *Server) MetricsAddr() net.Addr {
	if s.metricsAddress == nil {
		return nil
	}
	return s.metricsAddress.Addr()
}

// Run answers until ctx ends, waits shortly for the answers under way, and closes.
// Its error is nil unless a listener broke.
func (s *Server) Run(ctx context.Context) error {
	broke := make(chan error, 2)
	go func() { broke <- s.admin.Serve(s.socket) }()
	if s.metricsAddress != nil {
		go func() { broke <- s.metrics.Serve(s.metricsAddress) }()
	}
	var err error
	select {
	case err = <-broke:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.admin.Shutdown(grace) // what did not end in time is cut by Close
	_ = s.metrics.Shutdown(grace)
	return errors.Join(err, s.Close())
}

// Close stops at once and removes the socket. Idempotent.
func (s *Server) Close() error {
	err := errors.Join(s.admin.Close(), s.metrics.Close(), ignoreClosed(s.socket.Close()))
	if s.metricsAddress != nil {
		err = errors.Join(err, ignoreClosed(s.metricsAddress.Close()))
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

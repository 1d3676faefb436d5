package admin

import "time"

// SetReadTimeout makes slow clients slow sooner. Call it before Run.
func (s *Server) SetReadTimeout(d time.Duration) {
	s.admin.ReadHeaderTimeout, s.admin.ReadTimeout = d, d
}

const (
	MaxConnections = maxConnections
	MaxBody        = maxBody
	MaxHeader      = maxHeader
)

package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// handler answers the interface of the package comment.
func handler(g Gateway) http.Handler {
	turn := make(turn, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		s := g.Status()
		s.Conserved = s.Packets.Conserved()
		answer(w, http.StatusOK, s)
	})
	mux.HandleFunc("GET /v1/ports", list(turn, g.Ports))
	mux.HandleFunc("GET /v1/routes", list(turn, g.Routes))
	mux.HandleFunc("GET /v1/neighbors", list(turn, g.Neighbors))
	mux.HandleFunc("GET /v1/tunnels", list(turn, g.Tunnels))
	mux.HandleFunc("GET /v1/drops", list(turn, g.Drops))
	mux.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, r *http.Request) {
		f, limit, err := ParseFilter(r.URL.Query())
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		turn.take(w, r, func() {
			shown, total := g.Sessions(f, limit)
			fmt.Fprintf(w, `{"total":%d,"sessions":`, total)
			writeList(w, shown)
			fmt.Fprintln(w, "}")
		})
	})
	mux.HandleFunc("GET /v1/config", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(g.Config()) // the client is gone: nobody to tell
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, g.Reload(r.Context()))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("no such call: %s %s", r.Method, r.URL.Path))
	})
	return withoutBody(mux)
}

// A turn has room for one: a million routes are in memory once, however many ask.
type turn chan struct{}

// take runs send, which writes JSON, when no other request's is running. Who has the
// turn and does not read loses it with the write timeout.
func (t turn) take(w http.ResponseWriter, r *http.Request, send func()) {
	select {
	case t <- struct{}{}:
		defer func() { <-t }()
		w.Header().Set("Content-Type", "application/json")
		send()
	case <-r.Context().Done():
	}
}

// list answers with what get returns.
func list[T any](t turn, get func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t.take(w, r, func() {
			writeList(w, get())
			fmt.Fprintln(w)
		})
	}
}

// writeList writes items as JSON, one after the other: the whole text would be as
// large again.
func writeList[T any](w io.Writer, items []T) {
	encoder, before := json.NewEncoder(w), "["
	for i := range items {
		if _, err := io.WriteString(w, before); err != nil {
			return // the client is gone: nobody to tell
		}
		_ = encoder.Encode(&items[i])
		before = ","
	}
	if len(items) == 0 {
		_, _ = io.WriteString(w, before)
	}
	_, _ = io.WriteString(w, "]")
}

// withoutBody reads and forgets the request's body, and refuses a long one.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.CopyN(io.Discard, r.Body, maxBody+1)
		if n > maxBody {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("body: got more than %d bytes; want none", maxBody))
			return
		}
		if err != io.EOF {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

// refusal is the body of an error.
type refusal struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, refusal{err.Error()})
}

package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// handler answers the interface of the package comment.
func handler(g Gateway) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, g.Status())
	})
	mux.HandleFunc("GET /v1/ports", list(g.Ports))
	mux.HandleFunc("GET /v1/routes", list(g.Routes))
	mux.HandleFunc("GET /v1/neighbors", list(g.Neighbors))
	mux.HandleFunc("GET /v1/tunnels", list(g.Tunnels))
	mux.HandleFunc("GET /v1/drops", list(g.Drops))
	mux.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, r *http.Request) {
		f, limit, err := ParseFilter(r.URL.Query())
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		shown, total := g.Sessions(f, limit)
		answer(w, http.StatusOK, SessionList{Total: total, Sessions: orEmpty(shown)})
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

// list answers with what get returns, an empty list as [], not null.
func list[T any](get func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, orEmpty(get())) }
}

func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
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

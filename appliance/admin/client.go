package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// maxAnswer bounds what a client reads of one answer, in bytes.
const maxAnswer = 256 << 20

// ErrNoGateway says that nobody answers at the socket.
var ErrNoGateway = errors.New("no gateway answers there: is vra running, with this socket?")

// A Client asks a running gateway over its socket. Safe for concurrent use.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client for the socket at the path. It opens nothing yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket, http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

func (c *Client) Status(ctx context.Context) (v Status, err error) {
	return v, c.decode(ctx, http.MethodGet, "status", nil, &v)
}

func (c *Client) Ports(ctx context.Context) (v []Port, err error) {
	return v, c.decode(ctx, http.MethodGet, "ports", nil, &v)
}

func (c *Client) Routes(ctx context.Context) (v []Route, err error) {
	return v, c.decode(ctx, http.MethodGet, "routes", nil, &v)
}

func (c *Client) Neighbors(ctx context.Context) (v []Neighbor, err error) {
	return v, c.decode(ctx, http.MethodGet, "neighbors", nil, &v)
}

func (c *Client) Tunnels(ctx context.Context) (v []Tunnel, err error) {
	return v, c.decode(ctx, http.MethodGet, "tunnels", nil, &v)
}

func (c *Client) Drops(ctx context.Context) (v []Drop, err error) {
	return v, c.decode(ctx, http.MethodGet, "drops", nil, &v)
}

// Sessions asks for those that the query chooses; see ParseFilter for its keys.
func (c *Client) Sessions(ctx context.Context, query url.Values) (v SessionList, err error) {
	return v, c.decode(ctx, http.MethodGet, "sessions", query, &v)
}

// Reload makes the gateway reload, and waits until it is done. A refused reload is
// a result, not an error.
func (c *Client) Reload(ctx context.Context) (v ReloadResult, err error) {
	return v, c.decode(ctx, http.MethodPost, "reload", nil, &v)
}

// Config returns the effective configuration as YAML.
func (c *Client) Config(ctx context.Context) ([]byte, error) {
	return c.call(ctx, http.MethodGet, "config", nil)
}

func (c *Client) decode(ctx context.Context, method, name string, query url.Values, v any) error {
	body, err := c.call(ctx, method, name, query)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read %s from %q: %w", name, c.socket, err)
	}
	return nil
}

// call returns the body of the answer, unless that is an error.
func (c *Client) call(ctx context.Context, method, name string, query url.Values) ([]byte, error) {
	u := url.URL{Scheme: "http", Host: "vra", Path: "/v1/" + name, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.explain(err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("read %s from %q: got over %d bytes", name, c.socket, maxAnswer)
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	var why refusal
	if json.Unmarshal(body, &why) != nil || why.Error == "" {
		why.Error = resp.Status
	}
	return nil, errors.New(why.Error)
}

// explain says what a failed call means to a person.
func (c *Client) explain(err error) error {
	cause := err
	if u := (*url.Error)(nil); errors.As(err, &u) {
		cause = u.Err // without the made-up URL
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		cause = ErrNoGateway
	case errors.Is(err, fs.ErrPermission):
		cause = errors.New("permission denied: want root, or the group of admin.group")
	}
	return fmt.Errorf("admin socket %q: %w", c.socket, cause)
}

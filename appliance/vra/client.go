package main

import (
	"context"
	"flag"
	"time"

	"openvra/appliance/admin"
)

// How long a command waits for the gateway.
const (
	askTimeout    = 30 * time.Second
	reloadTimeout = 2 * time.Minute
)

// socketFlag adds --socket and returns what makes a client of its value.
func socketFlag(fs *flag.FlagSet) func() *admin.Client {
	socket := fs.String("socket", defaultSocket, "admin socket of the gateway, a `PATH`")
	return func() *admin.Client { return admin.NewClient(*socket) }
}

// withTimeout runs ask with a context that ends after d.
func withTimeout[T any](ctx context.Context, d time.Duration, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return ask(ctx)
}

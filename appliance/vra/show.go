package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"openvra/appliance/admin"
)

// A viewer fetches one view and prints it.
type viewer func(ctx context.Context, c *admin.Client, f format, w io.Writer, q url.Values) error

// A shown is one thing that "vra show" shows.
type shown struct {
	name string
	view viewer
}

func shownThings() []shown {
	return []shown{
		{"ports", viewing((*admin.Client).Ports, portTable)},
		{"routes", viewing((*admin.Client).Routes, routeTable)},
		{"neighbors", viewing((*admin.Client).Neighbors, neighborTable)},
		{"tunnels", viewing((*admin.Client).Tunnels, tunnelTable)},
		{"sessions", showSessions},
		{"drops", viewing((*admin.Client).Drops, dropTable)},
		{"config", showConfig},
	}
}

func showCommand() command {
	return command{
		name:    "show",
		summary: "show ports, routes, neighbors, tunnels, sessions, drops or config of the running gateway",
		args:    "ports|routes|neighbors|tunnels|sessions|drops|config",
		examples: []string{
			"vra show ports",
			"vra show sessions --src 10.0.0.0/8 --port 443",
			"vra show sessions --nat --limit 20 -o json",
			"vra show drops -o yaml",
		},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			client, output, query := socketFlag(fs), outputFlag(fs), filterFlags(fs)
			return func(ctx context.Context, s *streams, args []string) error {
				view, err := chooseView(args, query)
				if err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(ctx, askTimeout)
				defer cancel()
				return view(ctx, client(), *output, s.out, query)
			}
		},
	}
}

// chooseView finds the one thing that args name.
func chooseView(args []string, query url.Values) (viewer, error) {
	things := shownThings()
	var names []string
	for _, t := range things {
		names = append(names, t.name)
	}
	if len(args) != 1 {
		return nil, usagef("got %d things to show; want one of %s", len(args), strings.Join(names, ", "))
	}
	name := args[0]
	if name == "neighbours" { // as the configuration spells it
		name = "neighbors"
	}
	i := slices.Index(names, name)
	if i < 0 {
		return nil, usagef("unknown thing to show %q%s", name, didYouMean(name, names))
	}
	if name != "sessions" && len(query) > 0 {
		return nil, usagef("filters are for sessions, not %s", name)
	}
	if _, _, err := admin.ParseFilter(query); err != nil {
		return nil, usagef("--%v", err)
	}
	return things[i].view, nil
}

// filterFlags adds the filters of sessions and returns the query they make.
func filterFlags(fs *flag.FlagSet) url.Values {
	query := url.Values{}
	set := func(name string) func(string) error {
		return func(v string) error { query.Set(name, v); return nil }
	}
	admin.FilterKeys(func(name, want string) {
		if name == "nat" {
			fs.BoolFunc(name, "sessions: only translated ones", set(name))
			return
		}
		fs.Func(name, "sessions: `VALUE` is "+want, set(name))
	})
	fs.Func("limit", fmt.Sprintf("sessions: show at most `N`, 1 to %d (default 1000)", admin.MaxSessions), set("limit"))
	return query
}

// viewing makes a viewer of a call that returns a list and of what prints it.
func viewing[T any](get func(*admin.Client, context.Context) ([]T, error), table func(io.Writer, []T)) viewer {
	return func(ctx context.Context, c *admin.Client, f format, w io.Writer, _ url.Values) error {
		v, err := get(c, ctx)
		if err != nil {
			return err
		}
		return f.print(w, v, func(w io.Writer) { table(w, v) })
	}
}

func showSessions(ctx context.Context, c *admin.Client, f format, w io.Writer, q url.Values) error {
	v, err := c.Sessions(ctx, q)
	if err != nil {
		return err
	}
	return f.print(w, v, func(w io.Writer) { sessionTable(w, &v) })
}

// showConfig prints the configuration, which is YAML already: as a table, too.
func showConfig(ctx context.Context, c *admin.Client, f format, w io.Writer, _ url.Values) error {
	text, err := c.Config(ctx)
	if err != nil {
		return err
	}
	if f != "json" {
		_, err = w.Write(text)
		return err
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if _, err := json.Marshal(v); err != nil {
		return fmt.Errorf("write configuration as JSON: %w", err)
	}
	return printJSON(w, v)
}

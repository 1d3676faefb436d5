package main

import (
	"context"
	"flag"
	"fmt"

	"openvra/appliance"
	"openvra/config"
)

func configFlag(fs *flag.FlagSet) *string {
	return fs.String("c", defaultConfig, "configuration `FILE`")
}

func checkCommand() command {
	return command{
		name:     "check",
		summary:  "check a configuration file as a reload does, without privileges",
		examples: []string{"vra check -c vra.yaml", "vra check -c vra.yaml --print"},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			path := configFlag(fs)
			show := fs.Bool("print", false, "print the effective configuration, defaults included")
			return func(_ context.Context, s *streams, _ []string) error {
				c, err := loadChecked(s, *path)
				if err != nil {
					return err
				}
				if !*show {
					_, err := fmt.Fprintf(s.out, "%s: ok\n", *path)
					return err
				}
				text, err := c.Marshal()
				if err != nil {
					return err
				}
				_, err = s.out.Write(text)
				return err
			}
		},
	}
}

// loadChecked reads a configuration and builds what it describes. What is wrong with
// it goes to s.err, one error a line, and makes errSaid.
func loadChecked(s *streams, path string) (*config.Config, error) {
	c, err := config.Load(path)
	if err == nil {
		err = appliance.Check(c)
	}
	if err != nil {
		fmt.Fprintln(s.err, err)
		return nil, errSaid
	}
	return c, nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/go-arbiter/arbiter/cmd/arbitergen/internal/gen"

	// Generated code imports package task. It is imported here, so that "go get -tool" adds the
	// modules which generated code needs, and the user's program can be built at once.
	_ "github.com/go-arbiter/arbiter/task"

	_ "time/tzdata" // to check the zones of schedules on every machine
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("arbitergen", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed below, without all of the usage
	cfg := gen.Config{Stdout: stdout, Stderr: stderr}
	flags.BoolVar(&cfg.Check, "check", false, "")
	flags.StringVar(&cfg.Schema, "schema", "", "")
	flags.StringVar(&cfg.Compat, "compat", "", "")
	flags.StringVar(&cfg.Client, "client", "", "")
	showVersion := flags.Bool("version", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return gen.OK
	case err != nil:
		fmt.Fprintf(stderr, "arbitergen: %v; see arbitergen -h\n", err)
		return gen.Failed
	case *showVersion:
		fmt.Fprintln(stdout, version())
		return gen.OK
	}
	cfg.Patterns = flags.Args()
	var err error
	if cfg.Dir, err = os.Getwd(); err != nil {
		fmt.Fprintln(stderr, "arbitergen:", err)
		return gen.Failed
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return gen.Run(ctx, cfg)
}

// version returns the version of the module that the command was built from, and the version of Go.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "arbitergen (unknown version)"
	}
	return fmt.Sprintf("arbitergen %s %s", info.Main.Version, info.GoVersion)
}

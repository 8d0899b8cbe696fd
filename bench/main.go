package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"syscall"
	"time"
)

// config holds the values of the flags.
type config struct {
	n        int
	runs     int
	peers    string
	format   string
	short    bool
	growth   bool
	measures string
	limit    time.Duration
	profile  string
	allocs   string
}

// size is the amount of work of a trial.
type size struct {
	n       int           // number of tasks
	limit   time.Duration // the measuring time
	samples int           // number of samples of a latency
	idle    time.Duration // how long the commands of idle workers are counted
}

func parse(args []string) (config, error) {
	var c config
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&c.n, "n", 100_000, "number of tasks of a trial")
	f.IntVar(&c.runs, "runs", 3, "number of trials of each measure and system")
	f.StringVar(&c.peers, "peers", "all", "all, none, or names separated by commas")
	f.StringVar(&c.format, "format", "table", "table or tsv")
	f.BoolVar(&c.short, "short", false, "one small trial each, within a minute")
	f.BoolVar(&c.growth, "growth", false, "measure how the costs of arbiter grow with size, instead of comparing peers")
	f.StringVar(&c.measures, "measures", "", "measure only what matches this regular expression")
	f.DurationVar(&c.limit, "limit", 3*time.Second, "the longest measuring time of a trial")
	f.StringVar(&c.profile, "cpuprofile", "", "write a CPU profile of all trials to this file")
	f.StringVar(&c.allocs, "memprofile", "", "write a profile of all allocations to this file")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	switch {
	case f.NArg() > 0:
		return c, fmt.Errorf("unknown argument %q", f.Arg(0))
	case c.n < 1 || c.runs < 1 || c.limit <= 0:
		return c, fmt.Errorf("-n, -runs and -limit must be positive")
	case c.format != "table" && c.format != "tsv":
		return c, fmt.Errorf("-format %q, want table or tsv", c.format)
	}
	if c.short {
		c.n, c.runs, c.limit = min(c.n, 10_000), 1, min(c.limit, 200*time.Millisecond)
	}
	return c, nil
}

func (c *config) size() size {
	if c.short {
		return size{n: c.n, limit: c.limit, samples: 100, idle: time.Second}
	}
	return size{n: c.n, limit: c.limit, samples: 1000, idle: 10 * time.Second}
}

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, c)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, c config) error {
	quiet()
	filter, err := regexp.Compile(c.measures)
	if err != nil {
		return fmt.Errorf("-measures: %w", err)
	}
	plan, err := makePlan(c, filter)
	if err != nil {
		return err
	}
	plan.progress = os.Stderr
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if c.allocs != "" {
		f, err := os.Create(c.allocs)
		if err != nil {
			return err
		}
		defer func() {
			_ = pprof.Lookup("allocs").WriteTo(f, 0)
			_ = f.Close()
		}()
	}
	servers := &servers{}
	defer servers.stop()
	rep := plan.execute(ctx, servers)
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.format == "tsv" {
		return rep.tsv(os.Stdout)
	}
	return rep.table(os.Stdout)
}

//go:build unix

package e2e

import (
	"context"
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/proc"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(mute{}) // it tells of every failed dial, and here most are meant to fail
	proc.Main(map[string]proc.Role{
		"minion": minionRole, "arbiter": arbiterRole, "groups": groupsRole,
		"garrison": garrisonRole, "rival": rivalRole,
	})
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) { // the default
		// Most of these tests wait most of the time.
		if err := flag.Set("test.parallel", strconv.Itoa(2+2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

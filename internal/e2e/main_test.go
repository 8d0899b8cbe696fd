//go:build unix

package e2e

import (
	"context"
	"os"
	"runtime"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/testform"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(mute{}) // it tells of every failed dial, and here most are meant to fail
	proc.Main(map[string]proc.Role{
		"minion": minionRole, "arbiter": arbiterRole, "groups": groupsRole,
		"garrison": garrisonRole, "rival": rivalRole, "starved": starvedRole,
	})
	testform.Parallel(testform.Pick(12*runtime.GOMAXPROCS(0), 12)) // most of these tests wait most of the time
	os.Exit(m.Run())
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

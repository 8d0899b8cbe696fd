//go:build unix

package e2e

import (
	"context"
	"os"
	"runtime"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(mute{}) // the library logs every failed dial, and here most are intended
	proc.Main(map[string]proc.Role{
		"minion": minionRole, "arbiter": arbiterRole, "groups": groupsRole,
		"squad minion": squadMinionRole, "squad sender": squadSenderRole, "starved": starvedRole,
		"unique minion": uniqueMinionRole, "unique sender": uniqueSenderRole, "scheduler": schedulerRole, "step minion": stepMinionRole,
	})
	testform.Parallel(testform.Pick(12*runtime.GOMAXPROCS(0), 12)) // these tests mostly wait
	os.Exit(m.Run())
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

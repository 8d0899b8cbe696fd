//go:build unix

package e2e

import (
	"context"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(mute{}) // it tells of every failed dial, and here most are meant to fail
	proc.Main(map[string]proc.Role{
		"minion": minionRole, "arbiter": arbiterRole, "groups": groupsRole,
		"garrison": garrisonRole, "rival": rivalRole,
	})
	redistest.Parallel()
	os.Exit(m.Run())
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

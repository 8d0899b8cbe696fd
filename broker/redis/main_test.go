package redis_test

import (
	"os"
	"testing"

	"github.com/go-arbiter/arbiter/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Parallel()
	os.Exit(m.Run())
}

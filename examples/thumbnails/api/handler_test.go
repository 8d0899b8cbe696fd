package main

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/examples/thumbnails/worker"
	"github.com/go-arbiter/arbiter/minion"
)

// TestImports checks that the program that submits and the package with the handles do not link the functions and their
// imports, and that the program that executes them does.
func TestImports(t *testing.T) {
	const here = "github.com/go-arbiter/arbiter/examples/thumbnails/"
	heavy := []string{here + "worker", "image", "image/png", "image/jpeg", "image/gif"}
	for program, want := range map[string]bool{here + "api": false, here + "client": false, here + "minion": true} {
		out, err := exec.Command("go", "list", "-deps", program).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", program, err)
		}
		deps := strings.Fields(string(out))
		for _, pkg := range heavy {
			if got := slices.Contains(deps, pkg); got != want {
				t.Errorf("%s depends on %s: %v, want %v", program, pkg, got, want)
			}
		}
	}
}

// TestThumbnails sends an image through the API, with a minion in the same process.
func TestThumbnails(t *testing.T) {
	silent := slog.New(slog.DiscardHandler)
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.RegisterTasks(m); err != nil {
		t.Fatal(err)
	}
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(context.Background(), 1) }()
	srv := httptest.NewServer(handler(arb))
	t.Cleanup(func() {
		srv.Close()
		_ = arb.Close()
		_ = m.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close()
	})

	var original bytes.Buffer
	if err := png.Encode(&original, image.NewGray(image.Rect(0, 0, 400, 200))); err != nil {
		t.Fatal(err)
	}
	post := func(query string, body io.Reader) (int, string) {
		return answer(t, func() (*http.Response, error) {
			return http.Post(srv.URL+"/thumbnails"+query, "application/x-www-form-urlencoded", body) // as curl does
		})
	}
	get := func(path string) (int, string) {
		return answer(t, func() (*http.Response, error) { return http.Get(srv.URL + path) })
	}
	status, path := post("?width=100&height=100", &original)
	if status != http.StatusAccepted {
		t.Fatal(status, path)
	}
	status, thumbnail := get(strings.TrimSpace(path))
	if status != http.StatusOK {
		t.Fatal(status, thumbnail)
	}
	if img, err := png.DecodeConfig(strings.NewReader(thumbnail)); err != nil || img.Width != 100 || img.Height != 50 {
		t.Errorf("the thumbnail is %d x %d (error %v), want 100 x 50", img.Width, img.Height, err)
	}

	_, path = post("?width=10&height=10", strings.NewReader("no image"))
	if status, text := get(strings.TrimSpace(path)); status != http.StatusUnprocessableEntity || !strings.Contains(text, "decoding the original") {
		t.Errorf("the thumbnail of a file that is not an image: %d %s", status, text)
	}
	unknown := broker.NewID(broker.KindTask, "default", 0)
	for path, want := range map[string]int{"/thumbnails/x": http.StatusBadRequest, "/thumbnails/" + unknown.String(): http.StatusNotFound} {
		if status, text := get(path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, text, want)
		}
	}
	for _, query := range []string{"", "?width=1", "?width=0&height=1", "?width=1&height=9999"} {
		if status, text := post(query, nil); status != http.StatusBadRequest {
			t.Errorf("POST %q: %d %s", query, status, text)
		}
	}
	for _, size := range []int{broker.DefaultMaxPayload, broker.DefaultMaxPayload + 1} {
		if status, text := post("?width=1&height=1", bytes.NewReader(make([]byte, size))); status != http.StatusRequestEntityTooLarge {
			t.Errorf("an original of %d bytes: %d %s", size, status, text)
		}
	}
}

func answer(t *testing.T, send func() (*http.Response, error)) (int, string) {
	t.Helper()
	res, err := send()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

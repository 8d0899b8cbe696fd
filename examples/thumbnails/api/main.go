// Command api takes images over HTTP, has a minion make thumbnails of them, and serves the thumbnails. It links the handle
// of the task, and no code that decodes images.
//
//	curl --data-binary @photo.jpg 'localhost:8080/thumbnails?width=80&height=60'
//	curl -o thumbnail.png localhost:8080/thumbnails/ID
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/redis"
)

func main() {
	url := flag.String("broker", "redis://localhost:6379/0", "the address of the broker")
	addr := flag.String("addr", "localhost:8080", "the address to listen on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *addr); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, addr string) error {
	b, err := redis.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()

	srv := &http.Server{Addr: addr, Handler: handler(arb), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(ctx)
	})
	log.Printf("api is ready: http://%s/thumbnails", addr)
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

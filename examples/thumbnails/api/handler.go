package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/examples/thumbnails/client"
	"github.com/go-arbiter/arbiter/task"
)

// patience is how long a request waits for a thumbnail that is not done yet.
const patience = 10 * time.Second

// handler returns the API. POST /thumbnails takes an original, and GET /thumbnails/ID returns its thumbnail.
func handler(s task.Submitter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thumbnails", func(w http.ResponseWriter, r *http.Request) { submit(w, r, s) })
	mux.HandleFunc("GET /thumbnails/{id}", func(w http.ResponseWriter, r *http.Request) { fetch(w, r, s) })
	return mux
}

// submit sends the task, and answers with the path of the thumbnail at once.
func submit(w http.ResponseWriter, r *http.Request, s task.Submitter) {
	box, err := boxOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	original, err := io.ReadAll(http.MaxBytesReader(w, r.Body, broker.DefaultMaxPayload))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fut, err := client.ScaleTask.Apply(r.Context(), s, original, box)
	switch {
	case errors.Is(err, task.ErrTooLarge): // the original and the box together
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		path := "/thumbnails/" + fut.ID().String()
		w.Header().Set("Location", path)
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprintln(w, path)
	}
}

// boxOf reads the box from the query.
func boxOf(r *http.Request) (box client.Box, err error) {
	query := r.URL.Query()
	if box.Width, err = strconv.Atoi(query.Get("width")); err != nil {
		return box, fmt.Errorf("width: %w", err)
	}
	if box.Height, err = strconv.Atoi(query.Get("height")); err != nil {
		return box, fmt.Errorf("height: %w", err)
	}
	return box, box.Check()
}

// fetch answers with the thumbnail, or with the reason why there is none. It waits for a thumbnail that is not done yet.
func fetch(w http.ResponseWriter, r *http.Request, s task.Submitter) {
	id, err := task.ParseID(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	png, err := task.NewFuture[[]byte](s, id).Result(ctx)
	var failed *task.RemoteError
	switch {
	case errors.Is(err, task.ErrNotFound):
		http.Error(w, "there is no such thumbnail, or it is no longer kept", http.StatusNotFound)
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "not done yet; ask again", http.StatusServiceUnavailable)
	case errors.As(err, &failed):
		http.Error(w, failed.Error(), http.StatusUnprocessableEntity)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(png)
	}
}

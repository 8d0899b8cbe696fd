// Package worker has the functions of the example's tasks. It imports packages that decode, scale and encode images. A
// program that only submits tasks should not link these, so the handles are in package client.
package worker

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/gif" // formats of originals
	_ "image/jpeg"
	"image/png"

	"github.com/go-arbiter/arbiter/examples/thumbnails/client"
	"github.com/go-arbiter/arbiter/task"
)

//go:generate go tool arbitergen -client ../client

// mostPixels limits the memory that an original takes once it is decoded.
const mostPixels = 50_000_000

// Scale returns the image as a PNG that fits into the box and keeps the proportions. A smaller image keeps its size. The
// original is a GIF, JPEG or PNG.
//
//arbiter:task name=thumbnails.scale timeout=30s backoff=exponential:1s..1m
func Scale(ctx context.Context, original []byte, box client.Box) ([]byte, error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(original))
	if err == nil && config.Width > mostPixels/max(1, config.Height) {
		err = fmt.Errorf("%d x %d pixels are too many", config.Width, config.Height)
	}
	if err != nil {
		return nil, task.NoRetry(fmt.Errorf("decoding the original: %w", err))
	}
	from, _, err := image.Decode(bytes.NewReader(original))
	if err != nil {
		return nil, task.NoRetry(fmt.Errorf("decoding the original: %w", err))
	}
	width, height := fit(from.Bounds().Dx(), from.Bounds().Dy(), box)
	to := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		for x := range width {
			to.Set(x, y, from.At(
				from.Bounds().Min.X+x*from.Bounds().Dx()/width,
				from.Bounds().Min.Y+y*from.Bounds().Dy()/height,
			))
		}
	}
	var out bytes.Buffer
	err = png.Encode(&out, to)
	return out.Bytes(), err
}

// fit returns the size of an image in a box.
func fit(width, height int, box client.Box) (int, int) {
	scale := min(1, float64(box.Width)/float64(width), float64(box.Height)/float64(height))
	return max(1, int(float64(width)*scale)), max(1, int(float64(height)*scale))
}

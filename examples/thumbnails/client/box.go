// Package client has what a program needs that submits thumbnails: the handles of the tasks, which
// are generated, and the types in their signatures.
package client

import "fmt"

// Box is the largest size of a thumbnail, in pixels.
type Box struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Check returns an error if the box is too small or too large for a thumbnail.
func (b Box) Check() error {
	const most = 1024
	if b.Width < 1 || b.Width > most || b.Height < 1 || b.Height > most {
		return fmt.Errorf("a box of %d x %d pixels, want 1 to %d each", b.Width, b.Height, most)
	}
	return nil
}

package main

import (
	"context"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

// bareChannel is a pool of goroutines behind a channel. It encodes arguments and results as Arbiter
// does. It shows the speed of one process without guarantees.
var bareChannel = map[string]func(context.Context, *trial) ([]float64, error){
	"mem-pipeline":  channelPipeline,
	"mem-roundtrip": channelRoundtrip,
}

type channelTask struct {
	args  []byte
	reply chan []byte
}

// channelPool has as many goroutines as the pipeline has slots.
type channelPool struct {
	tasks chan channelTask
	codec codec.Codec
}

func startPool() *channelPool {
	p := &channelPool{tasks: make(chan channelTask, 1000), codec: codec.Msgpack()}
	for range pipelineSlots {
		go p.worker()
	}
	return p
}

func (p *channelPool) worker() {
	for task := range p.tasks {
		var a addArgs
		if p.codec.DecodeArgs(task.args, &a) != nil {
			panic("encoded arguments can't be decoded")
		}
		out, err := p.codec.AppendValue(nil, a.X+a.Y)
		if err != nil {
			panic(err)
		}
		task.reply <- out
	}
}

func (p *channelPool) send(x, y int, reply chan []byte) error {
	args, err := p.codec.AppendArgs(nil, addArgs{x, y})
	if err == nil {
		p.tasks <- channelTask{args, reply}
	}
	return err
}

func (p *channelPool) receive(reply chan []byte) (sum int, err error) {
	err = p.codec.DecodeValue(<-reply, &sum)
	return sum, err
}

// channelPipeline runs two goroutines that submit, and for each of them one that awaits the
// results.
func channelPipeline(_ context.Context, t *trial) ([]float64, error) {
	p := startPool()
	defer close(p.tasks)
	const parts = 2
	n := max(t.n/parts, 1)
	return t.memFlow(parts*n, func() (int, time.Duration, error) { return p.flow(parts, n) })
}

// flow sends n tasks in each of its parts.
func (p *channelPool) flow(parts, n int) (int, time.Duration, error) {
	errs := make([]error, 2*parts)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range parts {
		reply := make(chan []byte, 1000)
		wg.Go(func() {
			for k := 0; k < n && errs[i] == nil; k++ {
				errs[i] = p.send(k, k+1, reply)
			}
		})
		wg.Go(func() {
			for k := 0; k < n && errs[parts+i] == nil; k++ {
				_, errs[parts+i] = p.receive(reply)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return 0, 0, err
		}
	}
	return parts * n, took, nil
}

func channelRoundtrip(ctx context.Context, t *trial) ([]float64, error) {
	p := startPool()
	defer close(p.tasks)
	reply := make(chan []byte, 1)
	return t.sample(ctx, func() (time.Duration, error) {
		began := time.Now()
		err := p.send(0, 1, reply)
		if err == nil {
			_, err = p.receive(reply)
		}
		return time.Since(began), err
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	arbiterredis "github.com/go-arbiter/arbiter/broker/redis"
)

// masters is the number of servers in the cluster.
const masters = 3

// cluster is a Redis Cluster that the benchmark starts on this machine.
type cluster struct{ nodes []*server }

func startCluster(ctx context.Context) (*cluster, error) {
	c := &cluster{}
	for range masters {
		s, err := startServer(ctx, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort()))
		if err != nil {
			c.stop()
			return nil, err
		}
		c.nodes = append(c.nodes, s)
	}
	if err := c.connect(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// connect distributes the hash slots and introduces the nodes to each other.
func (c *cluster) connect(ctx context.Context) error {
	const slots = 16384
	for i, s := range c.nodes {
		if err := s.client.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
			return err
		}
		for _, o := range c.nodes {
			host, port, _ := net.SplitHostPort(o.addr)
			bus, err := o.client.ConfigGet(ctx, "cluster-port").Result()
			if err != nil {
				return err
			}
			if err := s.client.Do(ctx, "CLUSTER", "MEET", host, port, bus["cluster-port"]).Err(); err != nil {
				return err
			}
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ready := true
		for _, s := range c.nodes {
			info, err := s.client.ClusterInfo(ctx).Result()
			if err != nil {
				return err
			}
			ready = ready && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", masters))
		}
		if ready {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("the cluster has not formed in time")
		}
	}
}

func (c *cluster) stop() {
	for _, s := range c.nodes {
		s.stop()
	}
}

func (c *cluster) url() string {
	addrs := make([]string, len(c.nodes))
	for i, s := range c.nodes {
		addrs[i] = s.addr
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// freePort returns a port that was free a moment ago.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0 // the server will report the error
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// clusterPipeline is pipeline on a cluster, with a queue of the given number of partitions.
func clusterPipeline(partitions int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		c, err := startCluster(ctx)
		if err != nil {
			return nil, err
		}
		defer c.stop()
		var b broker.Broker
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			// A node may report a healthy cluster a moment before the cluster can be used.
			if b, err = arbiterredis.Open(ctx, c.url(), arbiterredis.Partitions(partitions)); err == nil {
				break
			}
			if time.Now().After(deadline) {
				return nil, err
			}
		}
		s, err := newOurs(b)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		on := *t
		on.sys = s
		done, took, err := on.flow(ctx)
		if err != nil {
			return nil, err
		}
		values, err := on.rate(done, t.n, took)
		t.note = on.note
		return values, err
	}
}

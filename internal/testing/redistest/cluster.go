package redistest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// slots is the number of hash slots of a cluster.
const slots = 16384

// Cluster is a cluster of masters. Only AddReplica adds replicas.
type Cluster struct {
	Nodes []*Server // the masters
}

// AddReplica starts a replica of a master, with more arguments for redis-server. It waits until the
// replica is in sync and could take over.
func (c *Cluster) AddReplica(t testing.TB, path string, master int, args ...string) *Server {
	t.Helper()
	ctx := context.Background()
	node, _ := startNode(t, path, args)
	client, of := node.Client(), c.Nodes[master].Client()
	id := of.Do(ctx, "cluster", "myid").Val()
	host, port, _ := net.SplitHostPort(c.Nodes[master].Addr)
	bus := of.ConfigGet(ctx, "cluster-port").Val()["cluster-port"]
	if err := client.Do(ctx, "cluster", "meet", host, port, bus).Err(); err != nil {
		t.Fatalf("meet node %d: %v", master, err)
	}
	wait(t, "the replica accepts its master", func() bool {
		return client.Do(ctx, "cluster", "replicate", id).Err() == nil
	})
	wait(t, "the replica is in sync, and all nodes know it", func() bool {
		info := client.Info(ctx, "replication").Val()
		if !strings.Contains(info, "master_link_status:up") {
			return false
		}
		for _, node := range c.Nodes {
			if !strings.Contains(node.Client().Do(ctx, "cluster", "nodes").String(), "slave "+id.(string)) {
				return false
			}
		}
		return true
	})
	return node
}

// startNode starts a node that is not part of a cluster yet, and returns its bus port.
func startNode(t testing.TB, path string, args []string) (node *Server, bus int) {
	t.Helper()
	node = startOn(t, path, func(port int) []string {
		bus = freePort(t) // the default, port + 10000, may be too high
		return append(append(plain(t), "--port", fmt.Sprint(port), "--cluster-enabled", "yes",
			"--cluster-port", fmt.Sprint(bus), "--cluster-node-timeout", "2000"), args...)
	})
	return node, bus
}

// StartCluster starts a cluster of n masters that share the hash slots evenly, with more arguments
// for each redis-server.
func StartCluster(t testing.TB, path string, n int, args ...string) *Cluster {
	t.Helper()
	ctx := context.Background()
	c := &Cluster{}
	var clients []*redis.Client
	var buses []int
	for i := range n {
		node, bus := startNode(t, path, args)
		client := node.Client()
		err := client.ClusterAddSlotsRange(ctx, slots*i/n, slots*(i+1)/n-1).Err()
		if err != nil {
			t.Fatalf("give hash slots to node %d: %v", i, err)
		}
		c.Nodes, clients, buses = append(c.Nodes, node), append(clients, client), append(buses, bus)
	}
	for i := 1; i < n; i++ {
		host, port, _ := net.SplitHostPort(c.Nodes[i].Addr)
		if err := clients[0].Do(ctx, "cluster", "meet", host, port, buses[i]).Err(); err != nil {
			t.Fatalf("meet node %d: %v", i, err)
		}
	}
	wait(t, "the cluster is formed", func() bool {
		for _, client := range clients {
			info := client.ClusterInfo(ctx).Val()
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", n)) {
				return false
			}
		}
		return true
	})
	return c
}

// URL returns the URL of the cluster for redis.Open.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

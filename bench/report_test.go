package main

import (
	"errors"
	"strings"
	"testing"
)

func sampleReport() *report {
	m := &measure{name: "drain", rows: []rowKind{{"drain", "tasks/s"}, {"cpu", "s/100k"}}}
	rep := &report{}
	ours := rep.block(m, &contender{name: "arbiter", ours: true})
	ours.add([]float64{3000, 0.5}, "", nil)
	ours.add([]float64{1000, 0.25}, "", nil)
	ours.add([]float64{2000, 1}, "", nil)
	slow := rep.block(m, &contender{name: "slow"})
	slow.add([]float64{10, 2}, "cut", nil)
	slow.add([]float64{10, 2}, "cut", nil)
	slow.add(nil, "", errors.New("gone\nfor good"))
	floor := rep.block(&measure{name: "lag", rows: []rowKind{{"lag-p50", "ms"}, {"lag-p99", "ms"}}}, &contender{name: "ping", floor: true})
	floor.add([]float64{1, 2}, "", nil)
	mine := rep.block(floor.measure, &contender{name: "arbiter", ours: true})
	mine.add([]float64{3, 4}, "", nil)
	rep.block(m, &contender{name: "absent"}).add(nil, "", errNone)
	return rep
}

func TestTSV(t *testing.T) {
	var out strings.Builder
	if err := sampleReport().tsv(&out); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`drain arbiter 2000 1000 3000 tasks/s
cpu arbiter 0.5000 0.2500 1.000 s/100k
drain slow 10.000 10.000 10.000 tasks/s
cpu slow 2.000 2.000 2.000 s/100k
lag-p50 ping 1.000 1.000 1.000 ms
lag-p99 ping 2.000 2.000 2.000 ms
lag-p50 arbiter 3.000 3.000 3.000 ms
lag-p99 arbiter 4.000 4.000 4.000 ms
drain absent - - - tasks/s
cpu absent - - - s/100k
ratio drain slow 200.000
ratio cpu slow 0.2500
ratio lag-p50 ping 3.000
ratio lag-p99 ping 2.000
ratio lag-p99 ping-p50 4.000
note drain slow failed_in_run_3:_gone_for_good
note drain slow cut
note drain absent the_system_does_not_have_this_feature
`, " ", "\t")
	want = strings.ReplaceAll(want, "_", " ")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := sampleReport().table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"measure  system", "ratio  drain    slow      200.000", "the system does not have this feature"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

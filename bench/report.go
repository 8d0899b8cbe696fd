package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report holds the results of a plan.
type report struct {
	blocks []*block
}

// block holds the results of one system in one measure.
type block struct {
	measure *measure
	system  *contender
	runs    [][]float64 // a value for each row of the measure
	notes   []string
	err     error // why there are no results
}

func (r *report) block(m *measure, s *contender) *block {
	b := &block{measure: m, system: s}
	r.blocks = append(r.blocks, b)
	return b
}

// add adds the results of a run.
func (b *block) add(values []float64, note string, err error) {
	if err != nil {
		b.err = err
		return
	}
	b.runs = append(b.runs, values)
	if note != "" && (len(b.notes) == 0 || b.notes[len(b.notes)-1] != note) {
		b.notes = append(b.notes, note)
	}
}

// row returns the summary of the i-th row. The second result is false if there is none.
func (b *block) row(i int) (summary, bool) {
	var values []float64
	for _, run := range b.runs {
		values = append(values, run[i])
	}
	if len(values) == 0 {
		return summary{}, false
	}
	return summarize(values), true
}

// lines returns the rows of the output in three parts: figures, ratios and notes.
func (r *report) lines() (figures, ratios, notes [][]string) {
	for _, b := range r.blocks {
		for i, kind := range b.measure.rows {
			sum, ok := b.row(i)
			if !ok {
				figures = append(figures, []string{kind.name, b.system.name, "-", "-", "-", kind.unit})
				continue
			}
			figures = append(figures, []string{
				kind.name, b.system.name, number(sum.median), number(sum.min), number(sum.max), kind.unit,
			})
			own := r.own(b.measure)
			if own == nil || b.system.ours {
				continue
			}
			ratios = append(ratios, []string{"ratio", kind.name, b.system.name, ratio(own, i, sum)})
			if b.system.floor && i > 0 { // higher percentiles are compared with the median of the floor
				first, _ := b.row(0)
				ratios = append(ratios, []string{"ratio", kind.name, b.system.name + "-p50", ratio(own, i, first)})
			}
		}
		if b.err != nil {
			text := strings.Join(strings.Fields(b.err.Error()), " ")
			if len(b.runs) > 0 {
				text = fmt.Sprintf("failed in run %d: %s", len(b.runs)+1, text)
			}
			notes = append(notes, []string{"note", b.measure.name, b.system.name, text})
		}
		for _, text := range b.notes {
			notes = append(notes, []string{"note", b.measure.name, b.system.name, text})
		}
	}
	return figures, ratios, notes
}

// ratio returns the i-th row of Arbiter divided by the row of a peer.
func ratio(own *block, i int, peer summary) string {
	ours, ok := own.row(i)
	if !ok || peer.median == 0 {
		return "-"
	}
	return number(ours.median / peer.median)
}

// own returns the block that ratios refer to: Arbiter's first one.
func (r *report) own(m *measure) *block {
	for _, b := range r.blocks {
		if b.measure == m && b.system.ours {
			return b
		}
	}
	return nil
}

// number formats v with at least four significant digits and without an exponent.
func number(v float64) string {
	switch {
	case v >= 1000 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// tsv writes rows whose fields are separated by tabs.
func (r *report) tsv(w io.Writer) error {
	out := bufio.NewWriter(w)
	figures, ratios, notes := r.lines()
	for _, part := range [][][]string{figures, ratios, notes} {
		for _, line := range part {
			_, _ = fmt.Fprintln(out, strings.Join(line, "\t"))
		}
	}
	return out.Flush()
}

// table writes the same as tables for people.
func (r *report) table(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	figures, ratios, notes := r.lines()
	parts := []struct {
		head  []string
		lines [][]string
	}{
		{[]string{"measure", "system", "median", "min", "max", "unit"}, figures},
		{[]string{"", "measure", "peer", "ours/peer"}, ratios},
		{[]string{"", "measure", "system", "what"}, notes},
	}
	for _, part := range parts {
		if len(part.lines) == 0 {
			continue
		}
		_, _ = fmt.Fprintln(out, strings.Join(part.head, "\t"))
		last := ""
		for _, line := range part.lines {
			if line[0] != last && last != "" {
				_, _ = fmt.Fprintln(out)
			}
			last = line[0]
			_, _ = fmt.Fprintln(out, strings.Join(line, "\t"))
		}
		_, _ = fmt.Fprintln(out)
	}
	return out.Flush()
}

// Package page shows an inventory of images as one HTML file: OpenShift releases by drivers, with a search and with
// what a cluster needs to copy. The file loads nothing, so it works from a disk, a web server or GitHub Pages alike.
//
// It is a function of its input. What the input says is text to the page, never markup or script: html/template
// escapes it, the script puts it into the document as text, and the page's own policy runs no other script.
package page

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// Input is what a page is made from.
type Input struct {
	Inventory *inventory.Inventory
	Made      time.Time // when it was made, which the page tells
	// DeviceConfig and Module return the YAML by which a cluster uses a driver's images. nil leaves the button out.
	DeviceConfig, Module func(version.Driver) (string, error)
}

var (
	//go:embed page.html
	layout string
	//go:embed style.css
	style string
	//go:embed script.js
	script string

	layoutTemplate = template.Must(template.New("page.html").Parse(layout))
)

// Write writes the page. The same input gives the same bytes. Its errors are those of w and of the input's functions.
func Write(w io.Writer, in Input) error {
	v, err := newView(in)
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	// html/template takes these two as they are: they are the program's own files.
	v.Style, v.Script = template.CSS(style), template.JS(script)
	v.Policy = policy()
	if err := layoutTemplate.Execute(w, v); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// policy lets the page run its own script and use its own style, and nothing else.
// https://www.w3.org/TR/CSP3/
func policy() string {
	return fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; "+
		"form-action 'none'; require-trusted-types-for 'script'", hash(script), hash(style))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// mostGaps is how many gaps the summary spells out; the table has all.
const mostGaps = 3

// view is what page.html shows.
type view struct {
	Policy string
	Style  template.CSS
	Script template.JS

	Repository string
	Made       string // RFC 3339
	MadeShort  string // for people
	All        tally
	Gaps       []gap
	MoreGaps   int
	Releases   int // rows of the table
	Columns    []column
	Width      int // of the table, in columns
	Groups     []group
	Unplanned  int
	Others     []inventory.Image // unplanned ones, where they are listed
	Data       data
}

// tally counts cells by state.
type tally struct{ Ready, Missing, Unknown int }

func (t *tally) add(s inventory.State) {
	switch s {
	case inventory.Ready:
		t.Ready++
	case inventory.Missing:
		t.Missing++
	case inventory.Unknown:
		t.Unknown++
	}
}

// Total counts all cells.
func (t tally) Total() int { return t.Ready + t.Missing + t.Unknown }

// gap is what some releases lack, for one reason.
type gap struct {
	State    inventory.State
	Releases string
	Kernel   string
	Drivers  string // separated by commas
	Reason   string
}

type column struct {
	Driver string
	Count  tally
}

// group has the releases of one minor.
type group struct {
	Minor string
	Rows  []row
	Count tally
}

type row struct {
	Release string
	Kernels []string
	Cells   []cell // one for each column
}

// cell is one release and one driver. Its zero value is for a release that the matrix does not have for the driver.
type cell struct {
	State  inventory.State
	Label  string
	Reason string
	Images string // places in data.Images, separated by spaces
}

// data is what the script shows of an image in full.
type data struct {
	Images []detail `json:"images"`
	Texts  []string `json:"texts"` // of manifests, each once
}

type detail struct {
	State        inventory.State `json:"state"`
	Driver       string          `json:"driver"`
	Kernel       string          `json:"kernel"`
	Releases     string          `json:"releases"`
	Reason       string          `json:"reason"`
	Tag          string          `json:"tag"`
	Digest       string          `json:"digest"`
	Size         string          `json:"size"`
	Created      string          `json:"created"`
	Pull         string          `json:"pull"`
	DeviceConfig int             `json:"deviceConfig"` // a place in data.Texts, -1 for none
	Module       int             `json:"module"`
}

func newView(in Input) (*view, error) {
	v := &view{
		Repository: in.Inventory.Repository, Unplanned: in.Inventory.Unplanned,
		Made: in.Made.UTC().Format(time.RFC3339), MadeShort: in.Made.UTC().Format("2006-01-02 15:04 UTC"),
		Data: data{Images: []detail{}, Texts: []string{}},
	}
	places := map[version.OCP]map[version.Driver][]int{}
	for n, i := range in.Inventory.Images {
		one, err := v.detail(in, i)
		if err != nil {
			return nil, err
		}
		v.Data.Images = append(v.Data.Images, one)
		if i.State == inventory.Unplanned {
			v.Others = append(v.Others, i)
		}
		for _, r := range i.Releases {
			if places[r] == nil {
				places[r] = map[version.Driver][]int{}
			}
			places[r][i.Driver] = append(places[r][i.Driver], n)
		}
	}
	for _, d := range in.Inventory.Drivers {
		v.Columns = append(v.Columns, column{Driver: d.String()})
	}
	v.Width = len(v.Columns) + 1
	v.addRows(in.Inventory, places)
	v.addGaps(in.Inventory)
	return v, nil
}

// addRows adds the releases, the newest first.
func (v *view) addRows(all *inventory.Inventory, places map[version.OCP]map[version.Driver][]int) {
	releases := slices.SortedFunc(maps.Keys(places), func(a, b version.OCP) int { return b.Compare(a) })
	v.Releases = len(releases)
	for _, r := range releases {
		if len(v.Groups) == 0 || v.Groups[len(v.Groups)-1].Minor != r.Minor() {
			v.Groups = append(v.Groups, group{Minor: r.Minor()})
		}
		g := &v.Groups[len(v.Groups)-1]
		line := row{Release: r.String()}
		kernels := map[kernel.Version]bool{} // a release has two if it has two streams
		for _, at := range places[r] {
			for _, n := range at {
				kernels[all.Images[n].Kernel] = true
			}
		}
		delete(kernels, kernel.Version{})
		for _, k := range slices.SortedFunc(maps.Keys(kernels), kernel.Version.Compare) {
			line.Kernels = append(line.Kernels, k.String())
		}
		for n, d := range all.Drivers {
			var c cell // as bad as the worst of its images
			at := make([]string, len(places[r][d]))
			for i, n := range places[r][d] {
				at[i] = strconv.Itoa(n)
				if one := all.Images[n]; badness[one.State] > badness[c.State] {
					c.State, c.Label, c.Reason = one.State, labels[one.State], one.Reason
				}
			}
			c.Images = strings.Join(at, " ")
			v.All.add(c.State)
			v.Columns[n].Count.add(c.State)
			g.Count.add(c.State)
			line.Cells = append(line.Cells, c)
		}
		g.Rows = append(g.Rows, line)
	}
}

var badness = map[inventory.State]int{inventory.Ready: 1, inventory.Missing: 2, inventory.Unknown: 3}

var labels = map[inventory.State]string{
	inventory.Ready: "Ready", inventory.Missing: "Missing", inventory.Unknown: "Unknown",
}

// addGaps spells out the gaps of the newest releases.
func (v *view) addGaps(list *inventory.Inventory) {
	var missing []inventory.Image
	for _, i := range list.Images {
		if i.Gap() && len(i.Releases) > 0 {
			missing = append(missing, i)
		}
	}
	slices.SortStableFunc(missing, func(a, b inventory.Image) int {
		return cmp.Or(b.Releases[len(b.Releases)-1].Compare(a.Releases[len(a.Releases)-1]),
			cmp.Compare(a.Kernel.String()+a.Reason, b.Kernel.String()+b.Reason))
	})
	var all []gap
	var last gap // without its drivers
	for _, i := range missing {
		g := gap{State: i.State, Releases: plan.ReleaseList(i.Releases), Kernel: i.Kernel.String(), Reason: i.Reason}
		if len(all) > 0 && g == last {
			all[len(all)-1].Drivers += ", " + i.Driver.String()
			continue
		}
		last, g.Drivers = g, i.Driver.String()
		all = append(all, g)
	}
	v.Gaps = all[:min(len(all), mostGaps)]
	v.MoreGaps = len(all) - len(v.Gaps)
}

func (v *view) detail(in Input, i inventory.Image) (d detail, err error) {
	d = detail{
		State: i.State, Driver: i.Driver.String(), Kernel: i.Kernel.String(), Releases: Join(i.Releases, ", "),
		Reason: i.Reason, Tag: i.Tag, Digest: i.Digest, Pull: i.Pull, DeviceConfig: -1, Module: -1,
	}
	if i.Size > 0 {
		d.Size = format.Bytes(i.Size)
	}
	if !i.Created.IsZero() {
		d.Created = i.Created.UTC().Format("2006-01-02 15:04 UTC")
	}
	if i.State != inventory.Ready {
		return d, nil
	}
	if d.DeviceConfig, err = v.text(in.DeviceConfig, i.Driver); err == nil {
		d.Module, err = v.text(in.Module, i.Driver)
	}
	return d, err
}

// text keeps what write says of a driver, each text once, and returns its place, -1 for none.
func (v *view) text(write func(version.Driver) (string, error), d version.Driver) (int, error) {
	if write == nil {
		return -1, nil
	}
	s, err := write(d)
	if err != nil {
		return -1, err
	}
	if at := slices.Index(v.Data.Texts, s); at >= 0 {
		return at, nil
	}
	v.Data.Texts = append(v.Data.Texts, s)
	return len(v.Data.Texts) - 1, nil
}

// Join names all of some releases.
func Join(releases []version.OCP, separator string) string {
	names := make([]string, len(releases))
	for n, r := range releases {
		names[n] = r.String()
	}
	return strings.Join(names, separator)
}

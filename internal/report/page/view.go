package page

import (
	"cmp"
	"html/template"
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
	var releases []version.OCP
	for r := range places {
		releases = append(releases, r)
	}
	slices.SortFunc(releases, func(a, b version.OCP) int { return b.Compare(a) })
	v.Releases = len(releases)
	for _, r := range releases {
		if len(v.Groups) == 0 || v.Groups[len(v.Groups)-1].Minor != r.Minor() {
			v.Groups = append(v.Groups, group{Minor: r.Minor()})
		}
		g := &v.Groups[len(v.Groups)-1]
		line := row{Release: r.String(), Kernels: kernels(all, places[r])}
		for n, d := range all.Drivers {
			c := newCell(all, places[r][d])
			v.All.add(c.State)
			v.Columns[n].Count.add(c.State)
			g.Count.add(c.State)
			line.Cells = append(line.Cells, c)
		}
		g.Rows = append(g.Rows, line)
	}
}

// kernels are those of one release, which has two if it has two streams.
func kernels(all *inventory.Inventory, places map[version.Driver][]int) []string {
	var found []kernel.Version
	for _, at := range places {
		for _, n := range at {
			if k := all.Images[n].Kernel; !k.IsZero() {
				found = append(found, k)
			}
		}
	}
	slices.SortFunc(found, kernel.Version.Compare)
	var names []string
	for _, k := range slices.Compact(found) {
		names = append(names, k.String())
	}
	return names
}

// badness orders states: a cell is as bad as the worst of its images.
var badness = map[inventory.State]int{inventory.Ready: 1, inventory.Missing: 2, inventory.Unknown: 3}

var labels = map[inventory.State]string{inventory.Ready: "Ready", inventory.Missing: "Missing", inventory.Unknown: "Unknown"}

func newCell(all *inventory.Inventory, at []int) cell {
	var c cell
	names := make([]string, len(at))
	for i, n := range at {
		names[i] = strconv.Itoa(n)
		if one := all.Images[n]; badness[one.State] > badness[c.State] {
			c.State, c.Label, c.Reason = one.State, labels[one.State], one.Reason
		}
	}
	c.Images = strings.Join(names, " ")
	return c
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
		return cmp.Or(b.Releases[len(b.Releases)-1].Compare(a.Releases[len(a.Releases)-1]), cmp.Compare(a.Kernel.String()+a.Reason, b.Kernel.String()+b.Reason))
	})
	var all []gap
	for _, i := range missing {
		g := gap{i.State, plan.ReleaseList(i.Releases), i.Kernel.String(), i.Driver.String(), i.Reason}
		if n := len(all) - 1; n >= 0 && all[n].same(g) {
			all[n].Drivers += ", " + g.Drivers
			continue
		}
		all = append(all, g)
	}
	v.Gaps = all[:min(len(all), mostGaps)]
	v.MoreGaps = len(all) - len(v.Gaps)
}

// same reports whether two gaps differ in nothing but the driver.
func (g gap) same(o gap) bool {
	g.Drivers, o.Drivers = "", ""
	return g == o
}

func (v *view) detail(in Input, i inventory.Image) (d detail, err error) {
	d = detail{
		State: i.State, Driver: i.Driver.String(), Kernel: i.Kernel.String(), Releases: join(i.Releases), Reason: i.Reason,
		Tag: i.Tag, Digest: i.Digest, Pull: i.Pull, DeviceConfig: -1, Module: -1,
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

func join(releases []version.OCP) string {
	names := make([]string, len(releases))
	for n, r := range releases {
		names[n] = r.String()
	}
	return strings.Join(names, ", ")
}

package cluster

import (
	"slices"
	"testing"
)

func TestWhatIsMountedLastIsUnmountedFirst(t *testing.T) {
	mounts := `/dev/a / ext4 rw 0 0
overlay /x/target/cluster/n1/a overlay rw 0 0
tmpfs /x/target/cluster/n1/a/with\040blank tmpfs rw 0 0
tmpfs /x/target/cluster-other tmpfs rw 0 0
`
	expected := []string{"/x/target/cluster/n1/a/with blank", "/x/target/cluster/n1/a"}
	if found := mountsBelow(mounts, "/x/target/cluster"); !slices.Equal(found, expected) {
		t.Errorf("%q", found)
	}
}

func TestClustersInTwoFoldersDoNotMeet(t *testing.T) {
	one, err := At("/a/target/cluster", "/testbed")
	if err != nil {
		t.Fatal(err)
	}
	two, err := At("/b/target/cluster", "/testbed")
	if err != nil {
		t.Fatal(err)
	}
	again, err := At("/a/target/../target/cluster/", "/testbed")
	if err != nil {
		t.Fatal(err)
	}
	if one.Prefix == two.Prefix || one.Prefix != again.Prefix {
		t.Errorf("%s, %s, %s", one.Prefix, two.Prefix, again.Prefix)
	}
}

# The two commands of the README, `make demo` and `make check`, and the steps they are made of.
# Meson does the building; this file only knows the order.

BUILD ?= build
PREFIX ?= /usr/local
HULL_CACHE ?= /var/cache/hull
export HULL_CACHE
# The steps are in order, and each uses all CPUs by itself.
.NOTPARALLEL:

.PHONY: all deps deps-test build kernel kernel-cloud images demo check lint unit e2e install install-nss \
	uninstall clean format

all: build

# Debian packages, by apt, only those that are missing.
deps:
	@tools/install-deps build

deps-test:
	@tools/install-deps build test

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX) --fatal-meson-warnings

build: $(BUILD)/build.ninja
	ninja -C $(BUILD)

# The utility VM's kernel; quick when it is in the cache.
kernel:
	kernel/build um

# The one for QEMU (KVM): Debian's own, nothing is compiled.
kernel-cloud:
	kernel/cloud

images:
	tools/make-images $(BUILD)/images

demo: deps
	@$(MAKE) --no-print-directory build kernel images
	@tools/demo $(BUILD)

# Every check and test; the last line is `N passed, N failed, N skipped`.
check: deps-test
	@tests/run $(BUILD)

lint:
	@tests/run $(BUILD) lint

unit: build
	@tests/run $(BUILD) unit

e2e: build kernel images
	@tests/run $(BUILD) e2e

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

# The folder may have been set up for another prefix.
install: deps kernel kernel-cloud $(BUILD)/build.ninja
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	ninja -C $(BUILD)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --tags runtime,systemd,data
	install -D -m 0755 "$$(kernel/build um --print-path)" $(DESTDIR)$(PREFIX)/libexec/hull/linux-um
	rm -rf $(DESTDIR)$(PREFIX)/libexec/hull/modules-x86_64
	cloud="$$(kernel/cloud --print-path)" && cd "$$cloud" && \
		install -D -m 0644 vmlinuz $(abspath $(DESTDIR)$(PREFIX))/libexec/hull/vmlinux-x86_64 && \
		install -D -m 0644 -t $(abspath $(DESTDIR)$(PREFIX))/libexec/hull/modules-x86_64 modules.list modules/*.ko
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

# Names for the user ids of utility VMs on this host: edits /etc/nsswitch.conf.
install-nss: deps build
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --tags nss
	@if [ -z "$(DESTDIR)" ]; then ldconfig && tools/nsswitch add; fi

# What the two above have installed, from where BUILD says it went; containers and images stay.
uninstall: $(BUILD)/build.ninja
	@tools/uninstall $(BUILD) "$(DESTDIR)"

clean:
	rm -rf $(BUILD) $(BUILD)-clang $(BUILD)-asan $(BUILD)-fuzz

# refrain: every target and flag. `make help` lists the targets.
#
# B is the build directory (build by default); SAN=address,undefined or SAN=thread builds with
# sanitizers. A change of flags rebuilds everything, because they are written to $(B)/flags.

B ?= build
CC = gcc
AR = gcc-ar
PREFIX ?= /usr/local
DESTDIR ?=
OPT ?= -O2
SAN ?=

STD = -std=c17 -D_GNU_SOURCE -I. -pthread
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
       -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wpointer-arith -fno-common -Werror
# No contraction: the same bits on AVX2, AVX-512 and without. No errno from sqrt: it is one
# instruction then and loops around it can be vectorised; no value changes.
GEN = $(OPT) -g -ffp-contract=off -fno-math-errno -fno-omit-frame-pointer
SANFLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
ALL_CFLAGS = $(STD) $(WARN) $(GEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pthread $(SANFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS)

# ---------------------------------------------------------------- rooms, libraries, programs
# A room is a folder and an archive. PROGRAM lines name rooms (in link order) and foreign libraries:
# what a program does not name it cannot use.
ROOMS = base conf ingest features store train match programs

LIBS_base = -lz -lm
LIBS_catalog = -llmdb
LIBS_csv = -lcsv
LIBS_curl = -lcurl -ljansson -lutf8proc
LIBS_decode = -lavformat -lavcodec -lavutil -lseccomp
LIBS_features = -lsoxr
LIBS_store = -llmdb -lzstd
LIBS_train = -ldnnl -lgomp
LIBS_match = -lchromaprint

PROGRAMS = refrain refrain-scan refrain-fetch refrain-extract refrain-store refrain-train refrain-match

ROOMS_refrain         = programs ingest features store conf base
LINK_refrain          = $(LIBS_store) $(LIBS_csv)
ROOMS_refrain-scan    = programs ingest base
LINK_refrain-scan     = $(LIBS_decode)
ROOMS_refrain-fetch   = programs ingest conf base
LINK_refrain-fetch    = $(LIBS_curl) $(LIBS_csv) $(LIBS_catalog)
ROOMS_refrain-extract = programs match ingest features store conf base
LINK_refrain-extract  = $(LIBS_match) $(LIBS_decode) $(LIBS_features) $(LIBS_store)
ROOMS_refrain-store   = programs store conf base
LINK_refrain-store    = $(LIBS_store)
ROOMS_refrain-train   = programs train features store conf base
LINK_refrain-train    = $(LIBS_train) $(LIBS_store)
ROOMS_refrain-match   = programs match train ingest features store conf base
LINK_refrain-match    = $(LIBS_match) $(LIBS_decode) $(LIBS_features) $(LIBS_store)

# Tests of a room link that room and what it may enter.
TROOMS_base = base
TLINK_base =
TROOMS_conf = conf base
TLINK_conf =
TROOMS_ingest = ingest base
TLINK_ingest = $(LIBS_curl) $(LIBS_csv) $(LIBS_catalog) $(LIBS_decode)
TROOMS_features = features base
TLINK_features = $(LIBS_features)
TROOMS_store = store base
TLINK_store = $(LIBS_store)
TROOMS_train = train store base
TLINK_train = $(LIBS_train) $(LIBS_store)
TROOMS_match = match features store base
TLINK_match = $(LIBS_match) $(LIBS_features) $(LIBS_store)
TROOMS_programs = programs match train ingest features store conf base
TLINK_programs = $(LIBS_csv) $(LIBS_match) $(LIBS_decode) $(LIBS_features) $(LIBS_store)

# ---------------------------------------------------------------- building
MAINS = $(wildcard programs/*_main.c)
LIB_SRC = $(filter-out %_main.c,$(wildcard $(addsuffix /*.c,$(ROOMS))))
UNIT_SRC = $(wildcard tests/unit/*/test_*.c)
FUZZ_SRC = $(wildcard tests/fuzz/*/fuzz_*.c)
BENCH_SRC = $(wildcard tests/bench/*/bench_*.c)
GOLDEN_SRC = $(wildcard tests/golden/*/*.c)

ARCHIVES = $(ROOMS:%=$(B)/lib/librefrain_%.a)
BIN = $(PROGRAMS:%=$(B)/bin/%)
SO_VERSION = 1
SO = $(B)/lib/librefrain_store.so
# Import is not part of it: it would need zlib.
SO_OBJ = $(patsubst %.c,$(B)/pic/%.o,$(filter-out store/import%,$(filter base/% store/%,$(LIB_SRC))))
UNIT = $(UNIT_SRC:%.c=$(B)/%)
FUZZ = $(FUZZ_SRC:%.c=$(B)/%)
BENCH = $(BENCH_SRC:%.c=$(B)/%)
GOLDEN = $(GOLDEN_SRC:%.c=$(B)/%)
OBJ = $(patsubst %.c,$(B)/obj/%.o,$(LIB_SRC) $(MAINS) $(UNIT_SRC) $(FUZZ_SRC) $(BENCH_SRC) $(GOLDEN_SRC) tests/fuzz/driver.c)

.PHONY: help all
help:
	@echo 'make all           build $(PROGRAMS) into $(B)/bin'
	@echo 'make test          install what is missing from Debian, build, run all tests'
	@echo 'make demo          compose songs, serve, fetch, extract, train, report: five minutes'
	@echo 'make bench         speed and memory, as ratios within one run'
	@echo 'make sanitize      unit tests and fuzz corpora under ASan+UBSan and under TSan'
	@echo 'make fuzz          FUZZ_EXECUTIONS=N mutations of each corpus (default 100000)'
	@echo 'make soak          the long proofs: hundreds of kills, injected faults, damaged files'
	@echo 'make layers        who may include whom'
	@echo 'make format-check  clang-format; make format rewrites'
	@echo 'make lint          cppcheck and clang-tidy'
	@echo 'make conformance   compare with librosa (PyPI, in a virtual environment) and PyTorch'
	@echo 'make python-test   tests of python/ (numpy and pytest from PyPI, in a virtual environment)'
	@echo 'make install       PREFIX=$(PREFIX) DESTDIR=$(DESTDIR); make uninstall takes it away'

all: $(BIN) $(SO)

$(B)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || \
	    echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $@
FORCE:

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# The aligners work on their own thread's arrays only: nothing for TSan to watch, and thirty times slower
# under its eyes.
$(if $(filter thread,$(SAN)),$(eval $(addprefix $(B)/obj/match/,align.o align_matrix.o coarse.o): private SANFLAGS =))

# Its threads are those of oneDNN, whose barriers TSan does not see.
$(B)/obj/train/winograd.o $(B)/obj/train/optim.o: private ALL_CFLAGS += -fopenmp
$(if $(filter thread,$(SAN)),$(eval $(patsubst %.c,$(B)/obj/%.o,train/optim.c $(wildcard train/winograd*.c)): private SANFLAGS =))

define archive
$(B)/lib/librefrain_$(1).a: $(patsubst %.c,$(B)/obj/%.o,$(filter $(1)/%,$(LIB_SRC)))
	@mkdir -p $$(@D); rm -f $$@
	$$(Q)$(AR) rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call archive,$(r))))

define program
$(B)/bin/$(1): $(B)/obj/programs/$(subst -,_,$(patsubst refrain-%,%,$(1)))_main.o $(ROOMS_$(1):%=$(B)/lib/librefrain_%.a)
	@mkdir -p $$(@D)
	$$(Q)$(CC) $(ALL_LDFLAGS) -o $$@ $$< $(ROOMS_$(1):%=$(B)/lib/librefrain_%.a) $(LINK_$(1)) $(LIBS_base)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

# The store as a library of its own (store/abi.h): base and store again as position-independent code.
# Only refrain_store_* is exported, and what that does not reach is left out.
$(B)/pic/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -ffunction-sections -MMD -MP -c $< -o $@

$(SO): $(SO_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,--gc-sections,--as-needed,-soname,$(@F).$(SO_VERSION) \
	    -o $@.$(SO_VERSION) $^ $(LIBS_store) $(LIBS_base)
	@ln -sf $(@F).$(SO_VERSION) $@

# $(1): test source; $(2): its room, the folder it lies in
define test_program
$(B)/$(1:%.c=%): $(B)/obj/$(1:%.c=%.o) $(3) $(TROOMS_$(2):%=$(B)/lib/librefrain_%.a)
	@mkdir -p $$(@D)
	$$(Q)$(CC) $(ALL_LDFLAGS) -o $$@ $(B)/obj/$(1:%.c=%.o) $(3) $(TROOMS_$(2):%=$(B)/lib/librefrain_%.a) $(TLINK_$(2)) $(LIBS_base)
endef
room_of = $(notdir $(patsubst %/,%,$(dir $(1))))
$(foreach t,$(UNIT_SRC) $(BENCH_SRC) $(GOLDEN_SRC),$(eval $(call test_program,$(t),$(call room_of,$(t)),)))
$(foreach t,$(FUZZ_SRC),$(eval $(call test_program,$(t),$(call room_of,$(t)),$(B)/obj/tests/fuzz/driver.o)))

-include $(OBJ:.o=.d) $(SO_OBJ:.o=.d)

# ---------------------------------------------------------------- tests and checks
E2E = $(sort $(wildcard tests/e2e/*.sh))
E2E_TESTS = $(filter-out tests/e2e/lib.sh,$(E2E))
PY_TESTS = $(sort $(wildcard tests/*/test_*.py))
SOURCES = $(wildcard */*.[ch] tests/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])

.PHONY: setup test unit sanitize fuzz soak bench demo conformance layers format format-check lint
setup:
	@scripts/setup.sh

test: setup
	+@$(MAKE) --no-print-directory Q=@ -j$$(nproc) all $(UNIT) $(FUZZ)
	@tests/run.sh $(B) $(UNIT) $(FUZZ) $(PY_TESTS) $(E2E_TESTS)

unit: $(UNIT) $(FUZZ)
	@tests/run.sh $(B) $(UNIT) $(FUZZ)

# Libraries of others are not instrumented: TSan is told to look at our code only, and leaks are
# reported for memory that is ours.
sanitize:
	+@$(MAKE) --no-print-directory Q=@ -j$$(nproc) B=$(B)/asan SAN=address,undefined OPT=-O1 san-run
	+@$(MAKE) --no-print-directory Q=@ -j$$(nproc) B=$(B)/tsan SAN=thread OPT=-O1 san-run

# Parsers have no threads: TSan does not run the fuzz targets.
SAN_TESTS = $(UNIT) $(if $(filter thread,$(SAN)),,$(FUZZ))
.PHONY: san-run
san-run: $(SAN_TESTS)
	@LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp \
	    FUZZ_EXECUTIONS=1000 tests/run.sh $(B) $(SAN_TESTS)

fuzz: $(FUZZ)
	@FUZZ_EXECUTIONS=$${FUZZ_EXECUTIONS:-100000} TEST_LIMIT_S=7200 tests/run.sh $(B) $(FUZZ)

# Long proofs (hundreds of kills and faults, thousands of damaged files): minutes, not part of `make test`.
soak: all $(UNIT) $(FUZZ)
	@TEST_LIMIT_S=7200 tests/run.sh $(B) $(sort $(wildcard tests/soak/*.sh))

bench: all $(BENCH) $(GOLDEN)
	@tests/bench/run.sh $(B)

demo: setup
	+@$(MAKE) --no-print-directory Q=@ -j$$(nproc) all
	@scripts/demo.sh $(B)

conformance: all $(GOLDEN)
	@scripts/setup.sh packages-conformance.txt
	@tests/conformance.sh $(B)

# Not part of `make test`, which needs nothing from PyPI.
.PHONY: python-test
python-test: $(SO) $(B)/tests/golden/store/make_store
	@scripts/setup.sh packages-conformance.txt
	@scripts/python_test.sh $(B)

layers:
	@scripts/layers.sh

format:
	@clang-format -i $(SOURCES)

format-check:
	@clang-format --dry-run -Werror $(SOURCES)

# The example configuration is printed from the table of keys.
.PHONY: conf/refrain.conf
conf/refrain.conf: $(B)/tests/unit/conf/test_settings
	$< --write $@

lint:
	@scripts/lint.sh $(B)

# ---------------------------------------------------------------- installing
BINDIR = $(DESTDIR)$(PREFIX)/bin
LIBDIR = $(DESTDIR)$(PREFIX)/lib
INCLUDEDIR = $(DESTDIR)$(PREFIX)/include
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/refrain
UNITDIR = $(DESTDIR)$(if $(filter /usr,$(PREFIX)),/lib/systemd/system,$(PREFIX)/lib/systemd/system)
UNITS = $(wildcard conf/*.service)

.PHONY: install uninstall clean
install: all
	install -d $(BINDIR) $(LIBDIR) $(INCLUDEDIR) $(MANDIR) $(DOCDIR) $(UNITDIR)
	install -m 755 $(BIN) $(BINDIR)
	install -m 644 $(SO).$(SO_VERSION) $(LIBDIR)
	ln -sf $(notdir $(SO)).$(SO_VERSION) $(LIBDIR)/$(notdir $(SO))
	install -m 644 store/abi.h $(INCLUDEDIR)/refrain_store.h
	for p in $(PROGRAMS); do $(B)/bin/$$p --man > $(MANDIR)/$$p.1 && chmod 644 $(MANDIR)/$$p.1 || exit 1; done
	install -m 644 conf/refrain.conf README.md LICENSE docs/*.md $(DOCDIR)
	for u in $(UNITS); do sed 's|@BINDIR@|$(PREFIX)/bin|g' $$u > $(UNITDIR)/$${u##*/} && chmod 644 $(UNITDIR)/$${u##*/} || exit 1; done

uninstall:
	rm -f $(PROGRAMS:%=$(BINDIR)/%) $(PROGRAMS:%=$(MANDIR)/%.1) $(UNITS:conf/%=$(UNITDIR)/%)
	rm -f $(LIBDIR)/$(notdir $(SO)) $(LIBDIR)/$(notdir $(SO)).$(SO_VERSION) $(INCLUDEDIR)/refrain_store.h
	rm -rf $(DOCDIR)

clean:
	rm -rf $(B)

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
# No contraction: the same bits on AVX2, AVX-512 and without.
GEN = $(OPT) -g -ffp-contract=off -fno-omit-frame-pointer
SANFLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
ALL_CFLAGS = $(STD) $(WARN) $(GEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pthread $(SANFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS)

# ---------------------------------------------------------------- rooms, libraries, programs
# A room is a folder and an archive. PROGRAM lines name rooms (in link order) and foreign libraries:
# what a program does not name it cannot use.
ROOMS = base conf ingest features store train programs

LIBS_base = -lz -lm
LIBS_catalog = -llmdb
LIBS_csv = -lcsv
LIBS_curl = -lcurl
LIBS_decode = -lavformat -lavcodec -lavutil
LIBS_features = -lsoxr -lfftw3
LIBS_store = -llmdb -lzstd
LIBS_train = -ldnnl

PROGRAMS = refrain refrain-fetch refrain-extract refrain-store refrain-train

ROOMS_refrain         = programs ingest store conf base
LINK_refrain          = $(LIBS_store) $(LIBS_csv)
ROOMS_refrain-fetch   = programs ingest conf base
LINK_refrain-fetch    = $(LIBS_curl) $(LIBS_csv) $(LIBS_catalog)
ROOMS_refrain-extract = programs ingest features store conf base
LINK_refrain-extract  = $(LIBS_decode) $(LIBS_features) $(LIBS_store)
ROOMS_refrain-store   = programs store conf base
LINK_refrain-store    = $(LIBS_store)
ROOMS_refrain-train   = programs train store conf base
LINK_refrain-train    = $(LIBS_train) $(LIBS_store)

# Tests of a room link that room and what it may enter.
TROOMS_base = base
TLINK_base =
TROOMS_ingest = ingest base
TLINK_ingest = $(LIBS_curl) $(LIBS_csv) $(LIBS_catalog) $(LIBS_decode)
TROOMS_features = features base
TLINK_features = $(LIBS_features)
TROOMS_store = store base
TLINK_store = $(LIBS_store)
TROOMS_train = train store base
TLINK_train = $(LIBS_train) $(LIBS_store)
TROOMS_programs = programs ingest features store conf base
TLINK_programs = $(LIBS_csv) $(LIBS_decode) $(LIBS_features) $(LIBS_store)

# ---------------------------------------------------------------- building
MAINS = $(wildcard programs/*_main.c)
LIB_SRC = $(filter-out %_main.c,$(wildcard $(addsuffix /*.c,$(ROOMS))))
UNIT_SRC = $(wildcard tests/unit/*/test_*.c)
FUZZ_SRC = $(wildcard tests/fuzz/*/fuzz_*.c)
BENCH_SRC = $(wildcard tests/bench/*/bench_*.c)

ARCHIVES = $(ROOMS:%=$(B)/lib/librefrain_%.a)
BIN = $(PROGRAMS:%=$(B)/bin/%)
UNIT = $(UNIT_SRC:%.c=$(B)/%)
FUZZ = $(FUZZ_SRC:%.c=$(B)/%)
BENCH = $(BENCH_SRC:%.c=$(B)/%)
OBJ = $(patsubst %.c,$(B)/obj/%.o,$(LIB_SRC) $(MAINS) $(UNIT_SRC) $(FUZZ_SRC) $(BENCH_SRC) tests/fuzz/driver.c)

.PHONY: all
all: $(BIN)

$(B)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || \
	    echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $@
FORCE:

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

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

# $(1): test source; $(2): its room, the folder it lies in
define test_program
$(B)/$(1:%.c=%): $(B)/obj/$(1:%.c=%.o) $(3) $(TROOMS_$(2):%=$(B)/lib/librefrain_%.a)
	@mkdir -p $$(@D)
	$$(Q)$(CC) $(ALL_LDFLAGS) -o $$@ $(B)/obj/$(1:%.c=%.o) $(3) $(TROOMS_$(2):%=$(B)/lib/librefrain_%.a) $(TLINK_$(2)) $(LIBS_base)
endef
room_of = $(notdir $(patsubst %/,%,$(dir $(1))))
$(foreach t,$(UNIT_SRC) $(BENCH_SRC),$(eval $(call test_program,$(t),$(call room_of,$(t)),)))
$(foreach t,$(FUZZ_SRC),$(eval $(call test_program,$(t),$(call room_of,$(t)),$(B)/obj/tests/fuzz/driver.o)))

-include $(OBJ:.o=.d)

# How everything is compiled. Warnings are errors; the reference compiler is clang 19 (STYLE.md says why g++ 12 is not supported).
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set_property(GLOBAL PROPERTY USE_FOLDERS ON)

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Posthorn needs clang 19 or newer; this is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # One cache for all checkouts of this house: paths relative to the checkout, precompiled headers tolerated.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
                    -Woverloaded-virtual -Wimplicit-fallthrough
                    -Wno-missing-designated-field-initializers -Wno-missing-field-initializers -Werror)
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
# One kind for all: the precompiled header is shared. Sanitizers leave 860 000 addresses in an executable, which each start of one that lies anywhere has to
# put right: a sixth of the time of postconf, and journeys start thousands of processes.
if(POSTHORN_SANITIZE AND NOT POSTHORN_FUZZ)
  add_compile_options(-fno-pie)
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
else()
  add_compile_options(-fPIE)
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()
add_link_options(-fuse-ld=lld -Wl,--gc-sections -Wl,-z,relro,-z,now)
add_compile_options(-ffunction-sections -fdata-sections -fstack-protector-strong)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
  add_compile_definitions(_FORTIFY_SOURCE=2)
  add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)   # no path of the building machine in what is shipped
else()
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS")
endif()
if(POSTHORN_SANITIZE)
  if(NOT POSTHORN_FUZZ)
    # What sanitizers add makes optimization three times as long as the rest of compiling (a test of coroutines: 23 s, 7 without), and it hides
    # from them what it removes.
    string(REPLACE "-O1" "-O0" CMAKE_CXX_FLAGS_DEBUG "${CMAKE_CXX_FLAGS_DEBUG}")
  endif()
  add_compile_options(-fsanitize=${POSTHORN_SANITIZE} -fno-sanitize-recover=all -fsanitize-ignorelist=${CMAKE_SOURCE_DIR}/cmake/sanitizers.ignore)
  add_link_options(-fsanitize=${POSTHORN_SANITIZE})
endif()
if(POSTHORN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# The trained build (scripts/build trained): once with counters, which bench/train reads at work, and once more by what they say. In one folder, since
# functions of one file are known by its path. Counters go to a mapped file: a confined process opens none at its end.
set(POSTHORN_PROFILE "" CACHE STRING "write: count what runs; use: optimise by posthorn.profdata of this folder, over all files")
if(POSTHORN_PROFILE STREQUAL "write")
  add_compile_options(-fprofile-generate "SHELL:-mllvm -runtime-counter-relocation" "SHELL:-mllvm -disable-vp=true")
  add_link_options(-fprofile-generate)
elseif(POSTHORN_PROFILE STREQUAL "use")
  # What was not at work has no counts, which is no mistake.
  add_compile_options(-flto=thin -fprofile-use=${CMAKE_BINARY_DIR}/posthorn.profdata "SHELL:-mllvm -disable-vp=true" -Wno-profile-instr-unprofiled -Wno-profile-instr-out-of-date)
  add_link_options(-flto=thin)
elseif(POSTHORN_PROFILE)
  message(FATAL_ERROR "POSTHORN_PROFILE is \"write\" or \"use\", not \"${POSTHORN_PROFILE}\"")
endif()
if(POSTHORN_COVERAGE OR POSTHORN_FUZZ)
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
  add_link_options(-fprofile-instr-generate -fcoverage-mapping)
endif()

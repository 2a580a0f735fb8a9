# posthorn_fuzzer(NAME USES room ... [COVERS src-file ...] [PLANTED src-file ...])
#
# Declares the fuzzer fuzz/NAME_fuzz.cpp with its corpus fuzz/corpus/NAME/ and, where there is one, its dictionary fuzz/dict/NAME.dict.
#   USES     rooms under test.
#   COVERS   the parser's files, below src/: scripts/fuzz-coverage asks for 90 % of their lines over the committed corpus.
#   PLANTED  the files, below src/, that hold `#ifdef POSTHORN_PLANT_BUG_NAME`: compiled once more with the bug in it, as
#            NAME_fuzz_planted; scripts/fuzz-planted shows that the fuzzer finds it.
# In the preset fuzz this is a libFuzzer binary; in every other preset the same harness with a main that replays files. Both ways
# ctest replays the corpus (label fuzz-replay).
define_property(GLOBAL PROPERTY POSTHORN_FUZZERS BRIEF_DOCS "fuzzers" FULL_DOCS "name|covers")
set_property(GLOBAL PROPERTY POSTHORN_FUZZERS "")

add_library(posthorn_fuzz_main OBJECT ${CMAKE_SOURCE_DIR}/fuzz/$<IF:$<BOOL:${POSTHORN_FUZZ}>,libfuzzer,replay>.cpp)

function(posthorn_fuzzer NAME)
  cmake_parse_arguments(FUZZER "" "" "USES;COVERS;PLANTED" ${ARGN})
  foreach(file ${FUZZER_COVERS} ${FUZZER_PLANTED})
    if(NOT EXISTS ${CMAKE_SOURCE_DIR}/src/${file})
      message(FATAL_ERROR "fuzzer ${NAME}: src/${file} does not exist")
    endif()
  endforeach()
  set(targets ${NAME}_fuzz)
  if(POSTHORN_FUZZ AND FUZZER_PLANTED)
    list(APPEND targets ${NAME}_fuzz_planted)
  endif()
  foreach(target ${targets})
    add_executable(${target} ${CMAKE_SOURCE_DIR}/fuzz/${NAME}_fuzz.cpp)
    foreach(room ${FUZZER_USES})
      target_link_libraries(${target} PRIVATE room_${room})
    endforeach()
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/fuzz)
    target_precompile_headers(${target} REUSE_FROM posthorn_pch_asio)
    target_link_libraries(${target} PRIVATE posthorn_pch_asio)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:posthorn_fuzz_main>)
    if(POSTHORN_FUZZ)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    endif()
    set_property(TARGET ${target} PROPERTY RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  endforeach()
  if(POSTHORN_FUZZ AND FUZZER_PLANTED)
    # The object comes before the room's archive, so the linker never pulls the archive's own copy.
    list(TRANSFORM FUZZER_PLANTED PREPEND ${CMAKE_SOURCE_DIR}/src/)
    target_sources(${NAME}_fuzz_planted PRIVATE ${FUZZER_PLANTED})
    target_compile_definitions(${NAME}_fuzz_planted PRIVATE POSTHORN_PLANT_BUG_${NAME}=1)
    set_property(TARGET ${NAME}_fuzz_planted PROPERTY EXCLUDE_FROM_ALL ON)
  endif()

  set(corpus ${CMAKE_SOURCE_DIR}/fuzz/corpus/${NAME})
  if(POSTHORN_FUZZ)
    add_test(NAME fuzz-replay-${NAME} COMMAND ${NAME}_fuzz -runs=0 ${corpus})
  else()
    add_test(NAME fuzz-replay-${NAME} COMMAND ${NAME}_fuzz ${corpus})
  endif()
  set_tests_properties(fuzz-replay-${NAME} PROPERTIES LABELS fuzz-replay TIMEOUT 900)
  string(REPLACE ";" "," covers "${FUZZER_COVERS}")
  set_property(GLOBAL APPEND PROPERTY POSTHORN_FUZZERS "${NAME}|${covers}")
endfunction()

# For the scripts: one line per fuzzer, "name|file,file". Call it after the last posthorn_fuzzer.
function(posthorn_fuzzers_list)
  get_property(fuzzers GLOBAL PROPERTY POSTHORN_FUZZERS)
  list(JOIN fuzzers "\n" text)
  file(WRITE ${CMAKE_BINARY_DIR}/fuzz/fuzzers.list "${text}\n")
endfunction()

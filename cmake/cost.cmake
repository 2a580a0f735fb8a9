# posthorn_cost(TEST): ctest begins with the tests that take longest, so that no core idles at the end. Seconds in an asan build on two cores; where ctest
# has run before, it goes by what it measured itself.
set(POSTHORN_LONG_TESTS
    send 350  spool 146  compat_postmap 113  journey.real_peers 108  compat_tools 70  journey.verification 66  compat_proxy_filter 52  compat_restrictions 47
    journey.peers 42  compat_postconf 42  journey.migrate 40  compat_sites 34  journey.reload 32  journey.kill 31)

function(posthorn_cost TEST)
  list(FIND POSTHORN_LONG_TESTS ${TEST} at)
  if(NOT at EQUAL -1)
    math(EXPR at "${at} + 1")
    list(GET POSTHORN_LONG_TESTS ${at} seconds)
    set_tests_properties(${TEST} PROPERTIES COST ${seconds})
    set_property(GLOBAL APPEND PROPERTY POSTHORN_LONG_TESTS ${TEST})
  endif()
endfunction()

# Behind all tests: each name above is one of them.
function(posthorn_costs_given)
  get_property(given GLOBAL PROPERTY POSTHORN_LONG_TESTS)
  foreach(word ${POSTHORN_LONG_TESTS})
    if(NOT word MATCHES "^[0-9]+$" AND NOT word IN_LIST given)
      message(SEND_ERROR "cmake/cost.cmake names ${word}: no such test asks for its cost")
    endif()
  endforeach()
endfunction()

# posthorn_cost(TEST): ctest begins with the tests that take longest, so that no core idles at the end. Seconds in an asan build on two cores; where ctest
# has run before, it goes by what it measured itself.
set(POSTHORN_LONG_TESTS
    send 440  spool 270  journey.real_peers 110  compat_tools 70  journey.verification 66  compat_postconf 50
    journey.reload 50  journey.peers 50  compat_proxy_filter 48  compat_authentication 48  compat_postmap 40  journey.generations 40  journey.tls 40
    journey.migrate 40  compat_sites 39  journey.kill 37)

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

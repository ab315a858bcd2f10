# The few build functions every room uses, so that a room's CMakeLists.txt only names its files.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(MILLRACE_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(MILLRACE_LTO "Optimise the programs across files when they are linked; tests link without" OFF)
set(MILLRACE_SANITIZE "" CACHE STRING "Sanitizers for every target, e.g. address,undefined")

find_program(MILLRACE_CCACHE ccache)
if(MILLRACE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MILLRACE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${MILLRACE_CCACHE})
endif()

find_package(PkgConfig REQUIRED)
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)

add_library(millrace_options INTERFACE)
target_include_directories(millrace_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(millrace_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Wunused
  -Woverloaded-virtual -Wconversion -Wno-sign-conversion -Wdouble-promotion -Wformat=2
  -fstack-protector-strong)
# g++ 12 warns about its own inlined library code at -O2 (GCC bugs 105329, 105651, 107852).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(millrace_options INTERFACE -Wno-restrict -Wno-stringop-overflow
    -Wno-array-bounds -Wno-stringop-overread -Wno-maybe-uninitialized)
endif()
# What the loader looks up for us it looks up at the start, and protects then.
target_link_options(millrace_options INTERFACE -Wl,-z,relro,-z,now)
if(MILLRACE_SANITIZE)
  target_compile_options(millrace_options INTERFACE
    -fsanitize=${MILLRACE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(millrace_options INTERFACE -fsanitize=${MILLRACE_SANITIZE})
endif()
if(MILLRACE_FUZZ)
  target_compile_options(millrace_options INTERFACE -fsanitize=fuzzer-no-link)
  # Without sanitizers it is the number of executions that is wanted: comparisons go unobserved.
  if(NOT MILLRACE_SANITIZE)
    target_compile_options(millrace_options INTERFACE -fno-sanitize-coverage=trace-cmp)
  endif()
endif()
# Nothing of ours is interposed at run time; without this -fPIC keeps g++ from inlining what a file
# exports into that same file.
target_compile_options(millrace_options INTERFACE -fno-semantic-interposition)
# Fat objects: programs are linked from the intermediate code, tests from the machine code, which
# keeps their linking quick.
if(MILLRACE_LTO)
  target_compile_options(millrace_options INTERFACE -flto=auto -ffat-lto-objects)
  target_link_options(millrace_options INTERFACE
    $<IF:$<BOOL:$<TARGET_PROPERTY:MILLRACE_PROGRAM>>,-flto=auto,-fno-lto>)
endif()

# millrace_library(name SOURCES a.cc b.cc DEPENDS base packet)
function(millrace_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  if(ARG_SOURCES)
    add_library(millrace_${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(millrace_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_link_libraries(millrace_${name} ${scope} millrace_options ${ARG_LINK})
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(millrace_${name} ${scope} millrace_${dependency})
  endforeach()
endfunction()

# millrace_proto(name a.proto DEPENDS other) makes the C++ classes of a .proto of this folder. Generated
# code is compiled without our warning flags, and its include directory is a system one, so that its
# headers are not ours to mend.
function(millrace_proto name file)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  find_package(Protobuf REQUIRED)
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  get_filename_component(stem ${file} NAME_WE)
  set(generated ${CMAKE_BINARY_DIR}/generated)
  set(made ${generated}/${folder}/${stem})
  file(MAKE_DIRECTORY ${generated}/${folder})
  add_custom_command(
    OUTPUT ${made}.pb.cc ${made}.pb.h
    COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR} --cpp_out=${generated} ${folder}/${file}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "${folder}/${file}"
    VERBATIM)
  add_library(millrace_${name} STATIC ${made}.pb.cc ${made}.pb.h)
  target_include_directories(millrace_${name} SYSTEM PUBLIC ${generated})
  target_link_libraries(millrace_${name} PUBLIC protobuf::libprotobuf)
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(millrace_${name} PUBLIC millrace_${dependency})
  endforeach()
  if(MILLRACE_SANITIZE)
    target_compile_options(millrace_${name} PRIVATE -fsanitize=${MILLRACE_SANITIZE})
  endif()
endfunction()

# millrace_program(target) marks an executable that is installed or measured: it is linked with
# optimisation across files where the preset asks for it.
function(millrace_program target)
  set_target_properties(${target} PROPERTIES MILLRACE_PROGRAM ON)
endfunction()

# suite_<label> builds what the tests with that label run; tests/run.sh builds a suite, not everything.
foreach(label unit sim net e2e cluster tidy fuzz vm perf)
  add_custom_target(suite_${label})
endforeach()

function(millrace_suite target)
  foreach(label ${ARGN})
    if(TARGET suite_${label})
      add_dependencies(suite_${label} ${target})
    endif()
  endforeach()
endfunction()

# millrace_test(name SOURCES a_test.cc DEPENDS tcp [LABELS unit]) makes one GoogleTest binary and
# registers it with ctest under its label (unit unless said otherwise).
function(millrace_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;LINK;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE millrace_options GTest::gtest_main GTest::gmock ${ARG_LINK})
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(${name} PRIVATE millrace_${dependency})
  endforeach()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  millrace_suite(${name} ${ARG_LABELS})
endfunction()

# millrace_test_with_doors(name) registers the same binary once more with every fast door shut.
function(millrace_test_with_doors name)
  get_test_property(${name} LABELS labels)
  get_test_property(${name} TIMEOUT timeout)
  get_test_property(${name} MILLRACE_COMMAND command)
  if(NOT command)
    set(command ${name})
  endif()
  add_test(NAME ${name}_doors_shut COMMAND ${command})
  set_tests_properties(${name}_doors_shut PROPERTIES LABELS "${labels}" TIMEOUT ${timeout}
    ENVIRONMENT MILLRACE_FAST_PATHS=off)
endfunction()

# millrace_fuzz(name SOURCES x_fuzz.cc DEPENDS http [RUNS n] [CORPUS dir]) builds a libFuzzer target
# in the fuzz preset and registers a bounded run of it; elsewhere it does nothing.
function(millrace_fuzz name)
  if(NOT MILLRACE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "RUNS;CORPUS" "SOURCES;DEPENDS;LINK" ${ARGN})
  if(NOT ARG_RUNS)
    set(ARG_RUNS 200000)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE millrace_options ${ARG_LINK})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(${name} PRIVATE millrace_${dependency})
  endforeach()
  add_test(NAME ${name} COMMAND ${name} -runs=${ARG_RUNS} -max_total_time=15 -seed=1 ${ARG_CORPUS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 150)
  millrace_suite(${name} fuzz)
endfunction()

# millrace_protobuf(name FILES x.proto [DEPENDS other]) makes the library millrace_<name> of generated
# classes. They are made in the build folder and never checked in, compiled without our warning
# flags, and found through a system include directory, so that their headers are not ours to mend.
function(millrace_protobuf name)
  cmake_parse_arguments(ARG "" "" "FILES;DEPENDS" ${ARGN})
  find_package(Protobuf REQUIRED)
  set(generated ${CMAKE_BINARY_DIR}/generated)
  file(RELATIVE_PATH room ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  file(MAKE_DIRECTORY ${generated}/${room})
  set(sources)
  foreach(file ${ARG_FILES})
    string(REPLACE ".proto" "" stem ${file})
    set(made ${generated}/${room}/${stem}.pb.cc ${generated}/${room}/${stem}.pb.h)
    add_custom_command(
      OUTPUT ${made}
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR} --cpp_out=${generated} ${room}/${file}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
      COMMENT "${room}/${file}"
      VERBATIM)
    list(APPEND sources ${made})
  endforeach()
  add_library(millrace_${name} STATIC ${sources})
  target_include_directories(millrace_${name} SYSTEM PUBLIC ${generated})
  target_link_libraries(millrace_${name} PUBLIC protobuf::libprotobuf)
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(millrace_${name} PUBLIC millrace_${dependency})
  endforeach()
  if(MILLRACE_SANITIZE)
    target_compile_options(millrace_${name} PRIVATE -fsanitize=${MILLRACE_SANITIZE})
  endif()
endfunction()

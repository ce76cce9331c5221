// Refused for the flags that it is compiled with.
#include "greenback/context/switch.h"

int main() {}

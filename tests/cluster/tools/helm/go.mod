module rloop.test/tools/helm

go 1.26

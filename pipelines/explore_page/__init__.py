"""Server and files of the page of `pipelines.explore`."""
